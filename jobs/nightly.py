"""textmill nightly CONF"""

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
    conf: Annotated[Path, typer.Argument(metavar="CONF", help="TOML file of the job; conf/nightly.toml describes every key.")],
    date: Annotated[
        str | None,
        typer.Option(help="The logical date, as 2026-11-22. If not given: the last day that has ended in the job's zone."),
    ] = None,
    submission: Annotated[
        str | None, typer.Option(help="An id that the run's manifest is to bear; textmill submit gives it.", show_default=False)
    ] = None,
) -> None:
    """Do the work of a night: tag what is new, report the logical date, publish.

    Tags every document that no plan of the output has named. Then makes a report of each date, up to the logical one, that has
    none yet (nights that were missed are caught up) or whose documents have changed since (late data: a new revision beside
    the old one, which stays). OUTPUT/nights/DATE/rNNNN.json is a revision's manifest, the highest number is the current one.
    What killed runs have left is removed after a day. The same command again, after whatever happened, goes on.

    The manifest of the run, OUTPUT/_nightly/runs/DATE/*.json, says what was done and bears the exit code: 0 done, 2 wrong
    settings, 3 try again later (another run is at work, SIGTERM, a share that is away), 4 do not try again. The date is never
    guessed inside: give it, and a night can be done at any time.
    """
    from jobs.reports import reporter
    from jobs.streams import note
    from pipeline.nightly.config import load_night
    from pipeline.nightly.dates import parse_date
    from pipeline.nightly.night import run_night
    from pipeline.observe.safe_stderr import safe_stderr

    safe_stderr()
    config = load_night(conf)
    day = parse_date(date) if date else default_date(config.zone)
    with redirect_stdout(sys.stderr):
        night = run_night(config, day, reporter(), note, submission)
    print(json.dumps(asdict(night), indent=1))


def default_date(zone: str) -> datetime.date:
    """The last day that has ended in a zone."""
    from pipeline.nightly.dates import last_ended
    from pipeline.timezones import zone_of

    return last_ended(datetime.datetime.now(datetime.UTC), zone_of(zone))
