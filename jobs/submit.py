"""textmill submit CONF --address http://HEAD:8265."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.nightly.config import SubmitConfig
    from pipeline.signals import StopToken


def submit(
    conf: Annotated[Path, typer.Argument(metavar="CONF", help="TOML file of the job. conf/nightly.toml describes every key.")],
    address: Annotated[str, typer.Option(help="Address of Ray's dashboard: http://HEAD:8265.")],
    date: Annotated[
        str | None,
        typer.Option(help="Day to report, as 2026-11-22. Default: the last day that has ended in the job's time zone."),
    ] = None,
) -> None:
    """Run a night as a job of a Ray cluster, and follow its log.

    The submission id is JOB-DATE-aN. Ray gets the working directory and the pinned requirements that the table submit names.
    The night has succeeded when its manifest in OUTPUT/_nightly/runs/DATE/ says so, whatever the cluster says. So this machine
    must see OUTPUT under the same name as the cluster. A job that vanishes, or ends without a manifest, is submitted again under
    the next id, at most submit.attempts times. The same command follows a job that still runs. It submits nothing if the night
    has succeeded. Ctrl-C and SIGTERM stop the following with exit code 3; the job goes on.

    Exit codes: 0 the manifest says finished, 2 wrong settings, 3 try again later, 4 do not try again.
    """
    from jobs.nightly import default_date
    from jobs.streams import note
    from pipeline.errors import StoppedError
    from pipeline.nightly.config import load_night
    from pipeline.nightly.dates import parse_date
    from pipeline.nightly.locations import output_of
    from pipeline.nightly.record import nights_by_submission
    from pipeline.observe.safe_stderr import safe_stderr
    from pipeline.signals import handling_signals
    from pipeline.trigger.job_watcher import Job, follow
    from pipeline.trigger.ray_jobs import RayJobs

    safe_stderr()
    config = load_night(conf)
    day = parse_date(date) if date else default_date(config.zone)
    given = config.submit
    store = output_of(config.tag)
    there = shlex.quote(path_there(conf, given))
    job = Job(
        f"{given.job}-{day}",
        lambda id: f"{given.command} nightly {there} --date {day} --submission {id}",
        lambda: nights_by_submission(store, day),
        given.attempts,
        given.poll_s,
        given.lost_s,
    )
    with redirect_stdout(sys.stderr), handling_signals() as stop:
        cluster = RayJobs(address, given)
        try:
            manifest = follow(cluster, job, note, echo, waiting(stop))
        except KeyboardInterrupt:
            raise StoppedError("no longer followed; the job goes on, the same command follows it again") from None
    print(json.dumps(dict(manifest), indent=1))


def path_there(conf: Path, given: SubmitConfig) -> str:
    """The job file's path as the job sees it: below the working directory, if that is sent, else the same as here.

    Raises ConfigError if it is not sent along.
    """
    from pipeline.errors import ConfigError

    if given.working_dir is None:
        return str(conf.resolve())
    try:
        return conf.resolve().relative_to(given.working_dir.resolve()).as_posix()
    except ValueError as error:
        raise ConfigError(f"{conf} must lie in submit.working_dir ({given.working_dir}), which is sent to the cluster") from error


def echo(text: str) -> None:
    """The job's own log, as it is."""
    sys.stderr.write(text if text.endswith("\n") else f"{text}\n")
    sys.stderr.flush()


def waiting(stop: StopToken) -> Callable[[float], None]:
    """A wait that ends with KeyboardInterrupt when somebody has asked to stop."""
    import time

    def wait(seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            stop.check()
            time.sleep(min(0.1, left))

    return wait
