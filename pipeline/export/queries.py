"""SQL of a user over an output: one statement that reads."""

from __future__ import annotations

from collections.abc import Generator

import pyarrow as pa

from pipeline.errors import ConfigError
from pipeline.export.database import OutputDatabase

READING = "select, with, describe, summarize and show"


def run_query(database: OutputDatabase, sql: str) -> Generator[pa.RecordBatch, None, None]:
    """Run a statement of a user.

    Args:
        database: The output.
        sql: The statement.

    Yields:
        The rows in batches, first one without rows.

    Raises:
        ConfigError: It is not one statement that reads, or DuckDB does not understand it or cannot carry it out.
        UnavailableError: A file could not be read.
        StoreError: The store of the output fails.
    """
    _only_statement(database, sql)
    yield from database.batches(sql)


def check_condition(database: OutputDatabase, condition: str) -> None:
    """Make sure that a user's text is a condition on documents, and nothing beside that.

    Args:
        database: The output.
        condition: SQL over the columns of `tags`.

    Raises:
        ConfigError: It is none; says what DuckDB says.
    """
    import duckdb

    try:
        with database.told():
            duckdb.SQLExpression(condition)  # nothing can follow it: what is no expression alone is refused here
            database.con.sql(f"select 1 from textmill.columns as tags where (\n{condition}\n)")
    except ConfigError as error:
        raise ConfigError(f"--filter {condition}: {error}") from error


def _only_statement(database: OutputDatabase, sql: str) -> None:
    import duckdb

    with database.told():
        found = database.con.extract_statements(sql)
    if len(found) != 1:
        raise ConfigError(f"give one statement, not {len(found)}: {READING} are run here")
    kind = found[0].type
    if kind == duckdb.StatementType.MULTI:
        raise ConfigError("a pivot has to name its values here: pivot TABLE on COLUMN in (VALUE, VALUE) using AGGREGATE")
    if kind != duckdb.StatementType.SELECT:
        raise ConfigError(f"{kind.name} is not run here: the output is only read, by {READING}")
