"""textmill nightly CONF."""

from __future__ import annotations

import datetime
import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def nightly(
    conf: Annotated[Path, typer.Argument(metavar="CONF", help="TOML file of the job. conf/nightly.toml describes every key.")],
    date: Annotated[
        str | None,
        typer.Option(help="Day to report, as 2026-11-22. Default: the last day that has ended in the job's time zone."),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(metavar="ANSWERS", help="Folder or URL of an index that is brought up to date, see textmill index."),
    ] = None,
    submission: Annotated[
        str | None, typer.Option(help="Id to write into the run's manifest. textmill submit sets it.", show_default=False)
    ] = None,
) -> None:
    """Do the work of a night: tag what is new, report the date, publish the report, index what is new.

    First it tags every document that is not tagged yet. Then it reports every date, up to --date, that has no report or whose
    documents have changed. So the next night makes up for one that was missed. Late data give a date a new revision; the old one
    stays. OUTPUT/nights/DATE/rNNNN.json is a revision's manifest. The highest number is the current one. After a failure of any
    kind the same command goes on. Leftovers of killed runs are removed after a day. With --index, or the key index, every part is
    in that index at the end; an index that fails harms neither tags nor reports, and the exit code says it.

    The manifest of the run, OUTPUT/_nightly/runs/DATE/*.json, says what was done, with the exit code: 0 done, 2 wrong settings, 3
    try again later (another run holds the output, SIGTERM, storage that does not answer), 4 do not try again.
    """
    from jobs.reports import reporter
    from jobs.streams import note
    from pipeline.nightly.config import load_night
    from pipeline.nightly.dates import parse_date
    from pipeline.nightly.night import run_night
    from pipeline.observe.safe_stderr import safe_stderr

    safe_stderr()
    config = load_night(conf, index)
    day = parse_date(date) if date else default_date(config.zone)
    with redirect_stdout(sys.stderr):
        night = run_night(config, day, reporter(), note, submission)
    print(json.dumps(asdict(night), indent=1))


def default_date(zone: str) -> datetime.date:
    """The last day that has ended in a zone."""
    from pipeline.nightly.dates import last_ended
    from pipeline.timezones import zone_of

    return last_ended(datetime.datetime.now(datetime.UTC), zone_of(zone))
