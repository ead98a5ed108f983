"""A run: finish what is planned, plan what is new, tag it, and say what came of it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from models.runtime.load import check_engine
from models.runtime.package import Models, open_models
from pipeline.cache.tag_cache import summary
from pipeline.config import TagConfig
from pipeline.contract import Split
from pipeline.errors import (
    Cancelled,
    ClaimedError,
    ConfigError,
    FolderError,
    OutputError,
    PipelineError,
    TooManyDeadLettersError,
    UnreadableInputError,
    WorkerLostError,
)
from pipeline.fleet.driver import Near, WorkerPool, drive, nowhere
from pipeline.fleet.local_pool import LocalPool
from pipeline.fleet.locality import DataLocality
from pipeline.fleet.ray_connection import check_ray
from pipeline.fleet.ray_pool import RayPool
from pipeline.observe.bottleneck import describe_bottleneck
from pipeline.observe.heartbeat import Heartbeat
from pipeline.observe.progress import Progress, duration
from pipeline.observe.ray_gauges import RayGauges
from pipeline.observe.run_monitor import RunMonitor
from pipeline.observe.warnings import RunFacts, as_records, warnings_of
from pipeline.run.piped import STDIN, check_pipes, spool
from pipeline.run.planning import Planner, columns_of
from pipeline.run.result import Result, published_by, stage_shares, summarize
from pipeline.signals import StopToken, handling_signals
from pipeline.sink import ledger, supersede
from pipeline.sink.files import hold_claim, try_delete
from pipeline.sink.layout import CLAIM, NEXT, PIPES
from pipeline.sink.manifest import known_speed, new_run, write_manifest
from pipeline.sink.plan_log import Plan
from pipeline.source.columns_used import columns_used, read_as
from pipeline.source.tables import stop_reader_processes
from pipeline.store.base import Store
from pipeline.store.open import open_store
from pipeline.store.retrying_client import noticed
from pipeline.worker.worker import WorkerSpec


class _Run:
    def __init__(self, options: TagConfig, models: Models, progress: Progress, stop: StopToken) -> None:
        self.options, self.models, self.progress = options, models, progress
        self._began = time.monotonic()
        self.store = open_store(options.output, options.store)
        self.name = new_run()
        self.started = datetime.now(UTC)
        self.failures: dict[str, Exception] = {}
        self.plans: list[int] = []
        self._threads: int | None = None
        self._start_s: float | None = None
        self.near = 0
        self._lost: dict[str, str] = {}
        self._piped = False
        self._held: Callable[[], None] = lambda: None
        self._active: list[Plan] = []
        self._looked = time.monotonic()
        self.planner = Planner(options, models, self.store, progress.say)
        self.watch = RunMonitor(options, progress, stop, Heartbeat(self.store, self.name), models.name)

    def go(self, held: Callable[[], None]) -> None:
        """Work through plan after plan, until no file is left that no plan names.

        `held` raises ClaimedError once the output is another run's: it is asked before each step that cannot be taken back.
        """
        self._held = held
        held()
        ledger.recover_switch(self.store)
        supersede.recover(self.store)
        self._finish_begun()
        if self._piped:
            self._take_in()
        while (plan := self._next()) is not None:
            splits = ledger.missing([plan], ledger.parts(self.store))
            self._announce(plan, splits)
            self._tag(plan, splits)
            there = ledger.parts(self.store)
            for each in self._active:
                if not ledger.missing([each], there):
                    self._finish(each, there)
                elif self._is_new_generation(each):
                    return  # what is there of the old generation stays until the new one is whole
                else:
                    self.planner.tried.add(each.number)  # splits that were given up; the next run tries them again
        if self.plans:
            self.planner.log.compact()
        if not self.planner.tried:
            held()
            try_delete(self.store, NEXT)
            if any(head.root == f"{self.store.url}/{PIPES}" for head in self.planner.log.heads):
                try_delete(self.store, PIPES)
            ledger.clean(self.store)
        if self.options.retry_dead_letters and not self.planner.redo.with_dead_letters:
            self.progress.say("no file of the input has dead letters here: none is tagged again for them")
        self.failures.update(self.planner.redo.changed)
        self.failures.update(self.planner.unreadable)
        self.failures.update(self._too_many_lost())

    def _finish_begun(self) -> None:
        """Finish plans of files that are tagged again, all parts of which are there, whatever this run is for.

        Rows that their parts take the place of may be gone already.
        """
        there = ledger.parts(self.store)
        for plan in self.planner.begun_again():
            if not ledger.missing([plan], there):
                self._finish(plan, there)

    def look(self) -> None:
        """Look at the input, as far as it can be looked at before it is read. Raises what `Planner.look` raises."""
        self._piped = check_pipes(self.options.sources)
        if not self._piped:
            self.planner.look()

    def _take_in(self) -> None:
        """Read the pipes that are the input; the next plan is of the files that they have become."""
        options, say = self.options, self.progress.say
        what = ", ".join("standard input" if source == STDIN else source for source in options.sources)
        say(f"{what}: read to the end before anything is tagged; if that is stopped, all of it has to be given again")
        files = spool(self.store, options.sources, options.format, self.watch.check)
        say(f"{what}: read; what comes of it the next run into {self.store.url} can finish, if this one is stopped")
        self.planner = Planner(options.model_copy(update={"sources": tuple(files)}), self.models, self.store, say)
        self.planner.look()

    def _next(self) -> Plan | None:
        self._held()
        return self.planner.next()

    def _announce(self, plan: Plan, splits: Sequence[Split]) -> None:
        pieces = [piece for split in splits for piece in split.fragments]
        tokens = sum(piece.tokens for piece in pieces)
        files = {piece.path: piece.size for piece in pieces}
        begun = "" if len(splits) == len(plan.splits) else f" of {len(plan.splits):,}; the others are done"
        speed = _card_speed(self.models)
        time = f", about {duration(tokens / speed)} at the speed of the model's card" if speed else ""
        self.progress.say(
            f"{plan.name}: {len(files):,} files, {sum(files.values()) / 1e6:,.1f} MB, about {tokens:,} tokens in "
            f"{len(splits):,} parts{begun}{time}"
        )
        seen = self.planner.seen_of(plan, splits)
        for used in columns_used(seen.used, columns_of(plan)):
            self.progress.say(used)
        if unusual := read_as(seen.noticed, len(seen.paths)):
            self.progress.say(unusual)
        skipped, some = self.planner.skipped, self.planner.examples
        if skipped:
            self.progress.say("left alone: " + ", ".join(_left_alone(reason, skipped, some) for reason in sorted(skipped)))

    def _tag(self, plan: Plan, splits: Sequence[Split]) -> None:
        self._active = []
        self._take_on(plan, splits)
        if not splits:
            return
        watch = self.watch
        work = self._worker_spec(plan)
        died_over = ledger.splits_that_crashed(self.store)
        try:
            with ExitStack() as stack:
                pool, near = self._worker_pool(work, stack)
                given_up = drive(splits, pool, watch.done, died_over, self._priority, self._arrivals, watch.seen, near)
                self.near += watch.near
                self.failures.update(given_up)
                if pool.up_at is not None and self._start_s is None:
                    self._start_s = pool.up_at - self._began
        except BaseException:
            # No worker of this run is alive here. What cannot be removed or published now is left to the next run.
            with suppress(PipelineError):
                self._held()
                ledger.discard_run_staging(self.store, self.name)
            raise

    def _worker_spec(self, plan: Plan) -> WorkerSpec:
        """What the workers of this run must know for a plan."""
        options = self.options
        folder = f"{NEXT}/" if self._is_new_generation(plan) or plan.again else ""
        about = {"run": self.name, "model": self.models.name, "model_digest": self.models.digest}
        threads = options.threads
        if options.address:
            threads = threads or 1
        elif options.workers and threads is None:
            threads = max(1, len(os.sched_getaffinity(0)) // options.workers)
        self._threads = threads
        return WorkerSpec(
            plan.root, self.store.url, columns_of(plan), options.model, options.engine, threads, self.name, folder, about,
            cache=options.cache,
            store=options.store,
        )  # fmt: skip

    def _worker_pool(self, work: WorkerSpec, stack: ExitStack) -> tuple[WorkerPool, Near]:
        """The workers, which end with `stack`, and what tells on which machines a split's data lies."""
        options, watch = self.options, self.watch
        if not (options.workers or options.address):
            return LocalPool(work, watch.check, watch.told), nowhere
        speed = known_speed(self.store, self.models.digest, self._threads)
        try:
            pool = stack.enter_context(
                RayPool(work, options, speed, watch.check, watch.told, self.progress.waits, self.progress.say)
            )
        except ConfigError as error:
            if self._start_s is None:
                raise
            # It was there for an earlier plan of this run: nothing is wrong with the settings.
            raise WorkerLostError(f"{error}; it did when this run began: run the command again when it is back") from error
        watch.use(pool.size, RayGauges(self.name))
        return pool, DataLocality(open_store(work.source, options.store)) if pool.spread else nowhere

    def _take_on(self, plan: Plan, splits: Sequence[Split]) -> None:
        self._active.append(plan)
        self.plans.append(plan.number)
        self.watch.expect(splits, self._priority)

    def _priority(self, split: Split) -> float:
        return max(self.options.priority_of(piece.path) for piece in split.fragments)

    def _arrivals(self) -> Sequence[Split]:
        """Splits of files that have come since the run began, if it is time to look for them."""
        first, now = self._active[0], time.monotonic()
        if not self.options.look_s or now - self._looked < self.options.look_s:
            return ()
        if self._is_new_generation(first) or first.again:
            return ()
        self._looked = now
        try:
            plan = self.planner.arrivals()
        except PipelineError as error:
            self.progress.say(f"no new files are taken on for now: {error}")
            return ()
        # Workers know one root and one set of columns; what needs others is done after this.
        if plan is None or (plan.root, columns_of(plan)) != (first.root, columns_of(first)):
            return ()
        self._announce(plan, plan.splits)
        self._take_on(plan, plan.splits)
        return plan.splits

    def _is_new_generation(self, plan: Plan) -> bool:
        return plan.generation > self.planner.log.current

    def _finish(self, plan: Plan, there: dict[str, str]) -> None:
        self._held()
        if self._is_new_generation(plan):
            ledger.switch(self.store, plan)
            there = ledger.parts(self.store)
        ledger.recover(self.store, there)
        lost: dict[str, list[str]] = {}
        counts = ledger.counts_of(self.store, plan, there, lost)
        if plan.again and not self._is_new_generation(plan):
            supersede.supersede(self.store, self.planner.log, plan, lost, self.name)
        self.planner.log.finish(plan, counts, lost)
        files = {piece.path for split in plan.splits for piece in split.fragments}
        self._lost = {path: why for path, why in self._lost.items() if path not in files}
        self._lost |= {path: why for path, (_, why) in lost.items()}

    def _too_many_lost(self) -> dict[str, Exception]:
        """Files of the input that could not be read whole, if they are more than there may be."""
        lost = {**self.planner.redo.lost, **self._lost}
        if len(lost) <= self.options.failed_files_share * self.planner.files:
            return {}
        return {path: UnreadableInputError(path, why) for path, why in lost.items()}

    def result(self, status: str, seconds: float) -> Result:
        """Write the manifest and sum up."""
        mine = published_by(self.name, self.watch.parts)
        result = summarize(self.name, status, mine, self.planner.skipped, self.failures, seconds)
        result.warnings = self.warn(result, sum((Counter(part.counts) for part in mine), Counter()))
        stages = stage_shares(mine)
        cache = summary([part.cache for part in mine])
        found = describe_bottleneck(stages, seconds, self.watch.workers, self.models.name, cache)
        if mine:
            self.progress.say(str(found["text"]))
        about = {
            "status": status,
            "started": self.started.isoformat(),
            "ended": datetime.now(UTC).isoformat(),
            "model": self.models.name,
            "model_digest": self.models.digest,
            "sources": list(self.options.sources),
            "plans": self.plans,
            **{k: v for k, v in asdict(result).items() if k not in ("run", "manifest", "status", "parts")},
        }
        metrics = {
            "seconds": round(seconds, 3),
            "stages_s": stages,
            "verdict": found,
            "cache": cache,
            "model_digest": self.models.digest,
            "threads": self._threads,
            "store": dict(noticed),
            "near_leases": self.near,
            "start_s": self._start_s and round(self._start_s, 2),
            "worker_tokens_s": round(result.tokens / (sum(stages.values()) or 1.0), 1),
            **{key: getattr(result, key) for key in ("documents_s", "tokens_s", "rows_in", "tokens")},
        }
        result.manifest = f"{self.store.url}/{write_manifest(self.store, self.name, about, mine, metrics, self.watch.waited)}"
        if status == "finished":
            self._held()
            ledger.clean(self.store)
        return result

    def warn(self, result: Result, counts: Mapping[str, int]) -> list[dict[str, Any]]:
        """Say what of a run may not be as it was meant; gives it for the manifest."""
        seen, chosen = self.planner, self.options
        facts = RunFacts(
            self.models.name, chosen.id_column, chosen.time_column or "created_at", bool(chosen.time_column), seen.files,
            result.rows_in, result.rows_out, result.filtered, counts, seen.skipped, seen.examples, seen.peeked.files,
            seen.peeked.lacking,
        )  # fmt: skip
        found = warnings_of(facts)
        for one in found:
            self.progress.say(f"warning: {one}")
        return as_records(found)


def _card_speed(models: Models) -> float | None:
    """Tokens/s that the card of the slowest model says, on the machine that made it."""
    try:
        cards = [json.loads((package.folder / "metrics.json").read_text()) for package in models.packages]
        return min(float(card["speed"]["engine_tokens_s"]) for card in cards)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _left_alone(reason: str, skipped: Mapping[str, int], examples: Mapping[str, Sequence[str]]) -> str:
    some = ", ".join(examples.get(reason, ()))
    return f"{skipped[reason]:,} {reason}" + (f" ({some})" if some else "")


def _check_folder(store: Store) -> None:
    with suppress(FolderError):
        if store.stat("") is not None:
            raise OutputError(f"{store.url} is a file; name a folder")


def tag_documents(options: TagConfig) -> Result:
    """Tag every document of the input that no plan of the output names yet; finish first what an earlier run left.

    Args:
        options: Settings of the run.

    Returns:
        What the run did; its `status` is `finished` or `nothing to do`.

    Raises:
        ConfigError: A setting or the input is wrong; raised before anything is tagged.
        OutputError: The output cannot take this run; raised before anything is tagged.
        ModelError: The model is refused.
        ClaimedError: Another run works on this output, or has taken it over.
        PipelineError: What ended the run; or the first error of a split or file that was given up, after all others are done.
        KeyboardInterrupt: A signal has asked the run to stop.
    """
    models = open_models(options.model)
    check_engine(options.engine)
    if options.workers or options.address:
        check_ray()
    began = time.monotonic()
    with handling_signals() as stop, Progress() as progress:
        run = _Run(options, models, progress, stop)
        _check_folder(run.store)
        ledger.check_output(run.store)
        run.look()  # what is wrong with the input is said before the output is made
        with hold_claim(run.store, CLAIM) as held:
            run.watch.held = _cancelling(held)
            status = "failed"
            try:
                run.go(held)
                status = "failed" if run.failures else "finished"
                if run.failures:
                    held()
                if status == "finished" and not progress.documents and progress.dead_letters:
                    status = "failed"
                    run.failures["input"] = TooManyDeadLettersError(
                        f"all {progress.dead_letters:,} documents are dead letters{run.watch.hint()}; look into "
                        f"{run.store.url}/dead_letters"
                    )
            except KeyboardInterrupt:
                status = "stopped"
                raise
            except Cancelled as cancelled:
                raise cancelled.__cause__ or cancelled from None
            except PipelineError as error:
                _tell_if_lost(held, error)
                raise
            finally:
                stop_reader_processes()
                run.watch.close()
                result = _told(run, status, time.monotonic() - began)
    if run.failures:
        first, *others = run.failures.values()
        if others:
            first.add_note(f"and {len(others):,} more of that kind or another; {result.manifest} names them all under failures")
        raise first
    return result


def _told(run: _Run, status: str, seconds: float) -> Result:
    """Write the manifest, if there is anything to be told. What goes wrong here does not hide what went wrong before."""
    before = sys.exc_info()[1]
    if not (run.plans or run.failures):
        result = Result(run.name, status="nothing to do", skipped=dict(run.planner.skipped))
        result.warnings = [] if before is not None else run.warn(result, {})
        return result
    try:
        return run.result(status, seconds)
    except (PipelineError, OSError) as error:
        if before is None:
            raise
        before.add_note(f"and the run's manifest could not be written: {error}")
        return Result(run.name, status=status)


def _tell_if_lost(held: Callable[[], None], error: PipelineError) -> None:
    """Raise LostClaimError, from the error, if the output is another run's by now: that may have removed what was missed."""
    try:
        held()
    except ClaimedError as lost:
        raise lost from error


def _cancelling(held: Callable[[], None]) -> Callable[[], None]:
    """A claim that is lost ends work in progress as control flow: no handler of errors on the way may take it for a fault."""

    def check() -> None:
        try:
            held()
        except ClaimedError as error:
            raise Cancelled from error

    return check
