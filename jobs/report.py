"""textmill report OUTPUT"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

_DAY = ["%Y-%m-%d"]


def report(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Output folder of `textmill tag`, or its URL.")],
    day: Annotated[
        datetime | None, typer.Option("--date", formats=_DAY, help="The day; without days the report is of everything.")
    ] = None,
    first: Annotated[datetime | None, typer.Option("--from", formats=_DAY, help="The first day, with --to.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=_DAY, help="The last day.")] = None,
    zone: Annotated[str, typer.Option(help="Whose days and hours: UTC or a name like Europe/Berlin.")] = "UTC",
    lang: Annotated[str, typer.Option(help="Of the page: en or zh.")] = "en",
    memory_mb: Annotated[int, typer.Option(help="What the process should stay below; it writes to disk beyond.")] = 1500,
    into: Annotated[
        str | None, typer.Option(help="Folder that becomes the report; OUTPUT/reports/DATE, FROM_TO or all, if not given.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Ray actors that count, each with --memory-mb; 0: this process.")] = 0,
    address: Annotated[str | None, typer.Option(help="A Ray cluster whose CPUs count: auto, or its address.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file whose [store] says how HDFS is reached.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="One setting of it.")] = None,
) -> None:
    """Make tables and a page of what was found in the documents of some days.

    A report that is there already is replaced in one step and kept as FOLDER.r1, FOLDER.r2, ...; nothing is written if nothing
    has changed. Exit code 4: counts of the output do not agree with each other; the page says which.
    """
    from pipeline.config import load_store
    from pipeline.errors import ConfigError
    from pipeline.report.build import make_report

    if day is not None and (first or last):
        raise ConfigError("give --date, or --from and --to")
    if (first is None) != (last is None):
        raise ConfigError("--from and --to go together")
    begin, end = (day, day) if day else (first, last)
    days = (begin.date() if begin else None, end.date() if end else None)
    made = make_report(output, *days, into, lang, memory_mb, zone, load_store(config, sets or ()), workers, address)
    print(json.dumps(asdict(made), indent=1, ensure_ascii=False))
    for text in made.disagreements:
        typer.echo(f"textmill: counts do not agree: {text}", err=True)
    if made.disagreements:
        raise typer.Exit(4)
