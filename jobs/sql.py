"""textmill sql OUTPUT SQL."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

# Characters of a value that a table on a terminal shows.
LONGEST = 300


def sql(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Output folder of textmill tag, or its URL.")],
    statement: Annotated[
        str, typer.Argument(metavar="SQL", help="One select, with, describe, summarize or show. - reads it from standard input.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines, as where it is piped.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header; lists as JSON.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Number of rows that a table on a terminal shows.")] = 40,
    config: Annotated[Path | None, typer.Option(help="TOML file. Its table store says how HDFS is reached.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="Set one key of that table. May be repeated.")
    ] = None,
) -> None:
    """Ask an output in SQL, with DuckDB: a table on a terminal, JSON lines where it is piped.

    Tables: tags (a row a document), entities and words (a row each, with id, source, created_at and lang of the document),
    dead_letters and filtered. `show tables` lists them, `describe tags` their columns. "end" is a word of SQL: it needs quotes.

    The output is only read, and no other file. Times are in UTC. Exit code 2 means that DuckDB does not understand the statement,
    or cannot carry it out.
    """
    from pipeline.config import load_store
    from pipeline.export.database import output_database
    from pipeline.export.queries import run_query
    from pipeline.store.open import open_store

    if as_json and as_csv:
        raise ConfigError("give --json or --csv, not both")
    text = sys.stdin.read() if statement == "-" else statement
    store = open_store(output, load_store(config, sets or ()))
    with output_database(store) as database, closing(run_query(database, text)) as batches:
        try:
            if as_csv:
                _print_csv(batches)
            elif as_json or not sys.stdout.isatty():
                _print_json(batches)
            else:
                _print_table(batches, limit)
            sys.stdout.flush()
        except BrokenPipeError:  # whoever reads has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _rows(batches: Iterator[pa.RecordBatch]) -> tuple[list[str], Iterator[list[Any]]]:
    """Names of the columns, and the rows."""
    from pipeline.export.values import json_rows, unique_names

    names = unique_names(next(batches).schema.names)
    return names, chain.from_iterable(map(json_rows, batches))


def _print_json(batches: Iterator[pa.RecordBatch]) -> None:
    names, rows = _rows(batches)
    for row in rows:
        print(_json(dict(zip(names, row, strict=True))))


def _print_csv(batches: Iterator[pa.RecordBatch]) -> None:
    names, rows = _rows(batches)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(names)
    for row in rows:
        out.writerow([_json(value) if isinstance(value, (list, dict)) else value for value in row])


def _print_table(batches: Iterator[pa.RecordBatch], limit: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from jobs.colours import plain
    from jobs.streams import note

    names, rows = _rows(batches)
    shown = list(islice(rows, limit))
    table = Table()
    for place, name in enumerate(names):
        numbers = all(isinstance(row[place], (int, float, type(None))) for row in shown)
        table.add_column(plain(name), justify="right" if numbers and shown else "left")
    for row in shown:
        table.add_row(*(plain("null", "dim") if value is None else plain(_said(value)) for value in row))
    Console().print(table)
    if more := sum(1 for _ in rows):
        note(f"{limit:,} of {limit + more:,} rows are shown; --limit shows more, and a file or a pipe gets all")


def _said(value: Any) -> str:
    text = value if isinstance(value, str) else _json(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
