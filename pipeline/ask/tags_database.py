"""DuckDB over the tags of an output, on this machine or elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import pyarrow as pa

from pipeline.errors import OutputError
from pipeline.report.classes import classes_of
from pipeline.sink.layout import TAGS
from pipeline.store.base import Entry, Store
from pipeline.store.open import is_local
from pipeline.store.parquet import parquet_file


@contextmanager
def tags_database(output: Store, parts: Sequence[Entry]) -> Iterator[Any]:
    """Open a DuckDB in memory, which fetches nothing from elsewhere but these parts.

    Args:
        output: Of which tags are read.
        parts: From `tag_parts`.

    Yields:
        The connection.

    Raises:
        OutputError: What it is asked in the body fails: the tags cannot be read.
        StoreError: The store of the output fails.
    """
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = dict.fromkeys(
        ("autoinstall_known_extensions", "autoload_known_extensions"), False
    )
    files = None
    if not is_local(output.url):
        from pipeline.ask.store_files import StoreFiles

        files = StoreFiles(output, parts)
    try:
        with closing(duckdb.connect(":memory:", config=settings)) as con:
            if files is not None:
                con.register_filesystem(files)
            yield con
    except duckdb.Error as error:
        if files is not None and files.failed is not None:
            raise files.failed from error
        raise OutputError(f"{output.url}: the tags cannot be read ({type(error).__name__}: {error})") from error


def tag_parts(output: Store) -> list[Entry]:
    """List the tags of an output.

    Args:
        output: The output.

    Returns:
        Their files; none if there are no tags.

    Raises:
        StoreError: The store fails.
    """
    return [entry for entry in output.list(TAGS) if entry.path.endswith(".parquet")]


def tag_classes(output: Store, part: Entry) -> tuple[str, ...]:
    """Return the classes that the documents of a part may have; none if its model has none.

    Args:
        output: The output.
        part: From `tag_parts`.

    Raises:
        OutputError: The part cannot be read.
        StoreError: The store fails.
    """
    try:
        with output.open_read(part.path) as stream:
            return classes_of(parquet_file(stream).schema_arrow)
    except (pa.ArrowException, KeyError, TypeError) as error:
        raise OutputError(f"{output.url}: the tags cannot be read ({type(error).__name__}: {error})") from error


def tags_sql(output: Store) -> str:
    """Name the tags of an output as a table.

    Args:
        output: The output.

    Returns:
        SQL; elsewhere than on this machine it means something only to a DuckDB that can read the URL.
    """
    root = re.sub(r"([*?\[])", r"[\1]", output.url) if is_local(output.url) else output.url
    path = f"{root.rstrip('/')}/{TAGS}/*.parquet".replace("'", "''")
    return f"read_parquet('{path}', hive_partitioning = false)"
