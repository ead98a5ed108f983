"""A night: tag what no plan has named, report what is due, publish, remove what is old, index, and say what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, date, datetime

from pipeline.ask.feeder import check_index, index_once
from pipeline.errors import ClaimedError, ConfigError, NoIndexError, PipelineError, StoppedError, StoreError
from pipeline.exits import exit_of
from pipeline.faults import point
from pipeline.nightly.config import NightConfig
from pipeline.nightly.dates import days
from pipeline.nightly.garbage_collect import garbage_collect
from pipeline.nightly.index import Index, index_of
from pipeline.nightly.locations import index_order_of, output_of
from pipeline.nightly.pushgateway import push_metrics
from pipeline.nightly.record import Night, new_night, write_night
from pipeline.nightly.reporting import Reporter, ReportRequest
from pipeline.nightly.revisions import RevisionDue, current_revisions, due, inputs_of, new_folder, publish
from pipeline.report.publish import claim_of
from pipeline.run.run import tag_documents
from pipeline.signals import StopToken, handling_signals
from pipeline.sink.files import hold_claim
from pipeline.sink.layout import CLAIM, NIGHTLY
from pipeline.store.base import Store
from pipeline.store.claim import Claim, held

Say = Callable[[str], object]
# So long a night waits for a watcher that makes the same index.
INDEX_WAIT_S = 600.0


class _Night:
    def __init__(self, config: NightConfig, day: date, reporter: Reporter, say: Say, stop: StopToken, claim: Claim) -> None:
        self._config, self._day, self._reporter, self._say, self._stop = config, day, reporter, say, stop
        self._held: list[Callable[[], None]] = [claim.check]
        own = config.trailing_days
        self._trailing_days = reporter.trailing_days if own is None else own
        self._settings = {"lang": config.lang, "zone": config.zone, "trailing_days": self._trailing_days}

    def go(self, store: Store, night: Night) -> None:
        """What is there of the tags is indexed whatever else has failed, unless somebody else is at work or wants this to end."""
        point("night.begin")
        failed: PipelineError | None = None
        try:
            self._tag_and_report(store, night)
        except (ConfigError, ClaimedError, StoppedError):
            raise
        except PipelineError as error:
            failed = error
        try:
            self._index(night)
        except NoIndexError as error:
            if failed is None:
                raise
            failed.add_note(f"and {error}")
        if failed is not None:
            raise failed

    def _index(self, night: Night) -> None:
        if (order := index_order_of(self._config, wait_s=INDEX_WAIT_S)) is not None:
            del self._held[1:]  # the output's claim is given back: parts may come meanwhile
            night.index = index_once(order, self._check)
            self._say(
                f"index: {night.index.get('parts', 0):,} parts, {night.index.get('passages', 0):,} passages, {order.answers}"
            )

    def _tag_and_report(self, store: Store, night: Night) -> None:
        result = tag_documents(self._config.tag)
        night.tag = {key: value for key, value in asdict(result).items() if key not in ("documents_s", "tokens_s")}
        with hold_claim(store, CLAIM) as output:  # nobody tags while the reports are made: they agree with what is counted here
            self._held.append(output)
            self._check()
            index = index_of(store, self._config.zone)
            current = current_revisions(store)
            first = min([self._day, *([self._config.since] if self._config.since else current)])
            night.undated = index.undated
            night.older = sum(index.rows(day) for day in index.days if day < first)
            found = due(days(first, self._day), index, self._trailing_days, self._settings, current)
            self._tell(found, night)
            for one in found:
                self._report(store, index, one, night)
            point("retire.before")
            night.retired = garbage_collect(store, time.time(), self._config.retire_h, self._held_on)

    def _check(self) -> None:
        self._stop.check()
        self._held_on()

    def _held_on(self) -> None:
        for check in self._held:
            check()

    def _tell(self, found: list[RevisionDue], night: Night) -> None:
        missed = [one for one in found if one.reason == "first" and one.day != self._day]
        again = [one for one in found if one.reason != "first"]
        self._say(
            f"{self._day}: {len(found)} reports are due, {len(missed)} of dates that were missed, {len(again)} of dates that "
            f"have changed"
        )
        if night.undated or night.older:
            self._say(f"in no report: {night.undated:,} documents without a date, {night.older:,} of dates before the first")

    def _report(self, store: Store, index: Index, one: RevisionDue, night: Night) -> None:
        config = self._config
        folder = new_folder(one)
        day = str(one.day)
        point("report.before")
        try:
            into, reach = f"{store.url}/{folder}", config.tag.store.told()
            order = ReportRequest(store.url, day, day, into, config.lang, config.memory_mb, config.zone, reach)
            self._reporter.make(order, self._check, config.report_s)
            point("report.after")
            about = {
                "night": str(self._day),
                "run": night.run,
                "rows": index.rows(one.day),
                "made": datetime.now(UTC).isoformat(),
                "settings": self._settings,
                "inputs": inputs_of(index, one.day, self._trailing_days),
            }
            self._check()
            path = publish(store, one, folder, about)
        except BaseException:
            for left in (folder, f"{folder}.new"):  # the second is the report's own, if it was killed
                with suppress(StoreError):
                    store.delete(left)
            raise
        finally:
            with suppress(StoreError):
                store.delete(claim_of(folder))  # nobody else makes a report of that name
        rows = index.rows(one.day)
        night.made.append({"date": day, "revision": one.number, "reason": one.reason, "rows": rows, "manifest": path})
        self._say(f"{day}: revision {one.number} ({one.reason}), {rows:,} documents, {path}")


def run_night(
    config: NightConfig,
    day: date,
    reporter: Reporter,
    say: Say,
    submission: str | None = None,
) -> Night:
    """Do the work of the night of a logical date, and of earlier nights that were missed or whose data have changed.

    The run's manifest is written last, with the exit code of the error that was raised, if any.

    Args:
        config: Settings of the job.
        day: The date.
        reporter: Makes reports.
        say: Hears what people should know.
        submission: Id under which the night was submitted; it goes into the manifest.

    Returns:
        What the night came to.

    Raises:
        ConfigError: The settings are wrong; raised before anything is done.
        ClaimedError: Another run is at work on this output.
        StoppedError: SIGTERM or Ctrl-C came.
        NoReportError: A report was not made.
        NoIndexError: The index could not be brought up to date; all else is done.
        PipelineError: What `tag_documents` raises.
    """
    store = output_of(config.tag)
    if (order := index_order_of(config)) is not None:
        check_index(order)
    night = new_night(day, config.zone, submission)
    error: BaseException | None = None
    with handling_signals() as stop:
        try:
            with held(Claim(store, f"{NIGHTLY}/claim", config.claim_s)) as claim:
                _Night(config, day, reporter, say, stop, claim).go(store, night)
        except KeyboardInterrupt:
            error = StoppedError(f"the night of {day} was stopped; what is whole stays, the same command goes on")
        except Exception as raised:  # noqa: BLE001 - whatever it is, the manifest tells of it, and it is raised again
            error = raised
        night.status = "finished" if error is None else "stopped" if isinstance(error, StoppedError) else "failed"
        night.exit_code = 0 if error is None else exit_of(error).code
        night.error = "" if error is None else str(error) if isinstance(error, PipelineError) else type(error).__name__
        night.ended = datetime.now(UTC).isoformat()
        path = write_night(store, night)
    say(f"{day}: {night.status}, exit code {night.exit_code}, {store.url}/{path}")
    if config.metrics_url:
        push_metrics(config.metrics_url, config.submit.job, night, say)
    if error is not None:
        raise error
    return night
