"""textmill report OUTPUT."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from jobs.summaries import AsJson, reported, show

_DAY = ["%Y-%m-%d"]


def report(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Output folder of textmill tag, or its URL.")],
    day: Annotated[
        datetime | None, typer.Option("--date", formats=_DAY, help="Report this day. Without days the report covers everything.")
    ] = None,
    first: Annotated[
        datetime | None, typer.Option("--from", formats=_DAY, help="First day of a longer report; needs --to.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=_DAY, help="Last day of a longer report; needs --from.")
    ] = None,
    zone: Annotated[str, typer.Option(help="Time zone of the days and hours: UTC, or a name like Europe/Berlin.")] = "UTC",
    lang: Annotated[str, typer.Option(help="Language of the page: en or zh.")] = "en",
    memory_mb: Annotated[int, typer.Option(help="Memory limit of the process. What needs more goes to disk.")] = 1500,
    into: Annotated[
        str | None, typer.Option(help="Folder of the report. Default: OUTPUT/reports/ and in it DATE, FROM_TO or all.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Number of Ray workers, each with --memory-mb. 0 is this process.")] = 0,
    address: Annotated[str | None, typer.Option(help="Ray cluster to run on: auto or HOST:PORT.")] = None,
    min_score: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Least score of an entity that counts, of those that the tags hold (textmill tag --min-score)."
        ),
    ] = 0.0,
    config: Annotated[Path | None, typer.Option(help="TOML file. Its table store says how HDFS is reached.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="Set one key of that table. May be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a page and tables of what the documents of some days say.

    An older report of the same days is kept as FOLDER.r1, FOLDER.r2 and so on. The new one takes its place in one step. Nothing
    is written if nothing has changed. Exit code 4 means that counts of the output do not agree; the page says which.
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
    made = make_report(output, *days, into, lang, memory_mb, zone, load_store(config, sets or ()), workers, address, min_score)
    show(asdict(made), reported(made), as_json)
    for text in made.disagreements:
        typer.echo(f"textmill: counts do not agree: {text}", err=True)
    if made.disagreements:
        raise typer.Exit(4)
