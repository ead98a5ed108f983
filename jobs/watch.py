"""textmill watch CONF."""

from __future__ import annotations

import json
import os
import shlex
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.ask.feeder import IndexFeeder
    from pipeline.nightly.config import NightConfig
    from pipeline.signals import StopToken
    from pipeline.store.base import Store
    from pipeline.trigger.notifications import NotificationSource
    from pipeline.trigger.watcher import Runner

TOKEN = "TEXTMILL_HINT_TOKEN"


def watch(
    conf: Annotated[Path, typer.Argument(metavar="CONF", help="TOML file of the job. conf/nightly.toml describes every key.")],
    address: Annotated[
        str | None, typer.Option(help="Run batches as jobs of a Ray cluster. Address of its dashboard: http://HEAD:8265.")
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(metavar="ANSWERS", help="Folder or URL of an index that is kept up to date, see textmill index."),
    ] = None,
    batch: Annotated[str | None, typer.Option(help="Run this batch, which a watcher has listed, and end.", hidden=True)] = None,
    submission: Annotated[str, typer.Option(help="The id under which the batch was submitted.", hidden=True)] = "",
) -> None:
    """Tag new files as they arrive.

    It looks into the sources of the table tag every poll_s seconds. A batch is a folder with files. It is complete when a
    _SUCCESS file or a manifest lies in it that is no older than its files, or when nothing has changed for settle_s seconds. Each
    revision of a batch is run exactly once. Any number of watchers may run: the first to claim a batch runs it.
    OUTPUT/_watch/batches/*.json says how it ended. The next textmill nightly renews the reports of the dates that got documents.

    Hints are optional and make it look at once: POST a path to /hint of watch.http (with an Authorization: Bearer header if
    TEXTMILL_HINT_TOKEN is set), or XADD to the stream of watch.redis. Each decision is one JSON line on standard error. Ctrl-C
    and SIGTERM stop it cleanly with exit code 0; the next watcher goes on. With --index, or the key index, a process beside the
    watcher takes new parts into that index every index_s seconds. If that fails it is said, and tried again; a watcher that ends
    while it fails has its exit code.
    """
    from jobs.streams import note
    from pipeline.nightly.config import load_night
    from pipeline.nightly.locations import output_of
    from pipeline.observe.safe_stderr import safe_stderr
    from pipeline.signals import handling_signals
    from pipeline.trigger.batch_log import BatchLog
    from pipeline.trigger.notifications import Notifications, listening
    from pipeline.trigger.remote_batch import run_listed
    from pipeline.trigger.watcher import Watcher, run_here

    safe_stderr()
    config = load_night(conf, index)
    store = output_of(config.tag)
    with redirect_stdout(sys.stderr), handling_signals() as stop:
        if batch is not None:
            ran = run_listed(store, batch, submission, run_here(config))
            raise SystemExit(ran.exit_code)
        runner = run_here(config) if address is None else _there(conf, config, store, address, stop)
        hints = Notifications()
        feeder = _feeder(config)
        watcher = Watcher(config, BatchLog(store), runner, decided, stop.check)
        try:
            with feeder or nullcontext(), listening(_sources(config), hints, note):
                note(f"watching {', '.join(config.tag.sources)}")
                hinted: list[str] = []
                while True:
                    watcher.poll(hinted)
                    hinted = hints.wait(config.watch.poll_s, stop.check)
        except KeyboardInterrupt:
            note("stopped; what has been begun is finished by the next watcher")
    if feeder is not None and feeder.failed is not None:
        raise feeder.failed


def decided(batch: str, revision: str, action: str, why: str) -> None:
    """One line for one decision."""
    from jobs.streams import say

    line = {"event": "decision", "batch": batch, "revision": revision, "decision": action, "why": why}
    say(json.dumps(line))


def _feeder(config: NightConfig) -> IndexFeeder | None:
    from jobs.streams import note
    from pipeline.ask.feeder import IndexFeeder, check_index
    from pipeline.nightly.locations import index_order_of

    if (order := index_order_of(config, config.index_s)) is None:
        return None
    check_index(order)
    return IndexFeeder(order, note)


def _sources(config: NightConfig) -> list[NotificationSource]:
    from jobs.streams import note
    from pipeline.errors import ConfigError
    from pipeline.trigger.notifications import HttpNotifications
    from pipeline.trigger.redis_notifications import RedisNotifications

    found: list[NotificationSource] = []
    if config.watch.http is not None:
        try:
            hook = HttpNotifications(config.watch.http, os.environ.get(TOKEN))
        except (OSError, ValueError) as error:
            raise ConfigError(f"watch.http: {config.watch.http!r}: {error}") from error
        note(f"hints are taken at port {hook.port}")
        found.append(hook)
    if config.watch.redis is not None:
        found.append(RedisNotifications(config.watch.redis, config.watch.stream, note))
    return found


def _there(conf: Path, config: NightConfig, store: Store, address: str, stop: StopToken) -> Runner:
    from jobs.streams import note
    from jobs.submit import echo, path_there, waiting
    from pipeline.trigger.ray_jobs import RayJobs
    from pipeline.trigger.remote_batch import run_there

    given = config.submit
    there = shlex.quote(path_there(conf, given))

    def entrypoint(revision: str, id: str) -> str:
        return f"{given.command} watch {there} --batch {revision} --submission {id}"

    return run_there(config, store, RayJobs(address, given), entrypoint, note, echo, waiting(stop))
