"""A run: finish what is planned, plan what is new, tag it, and say what came of it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from models.runtime.package import Models, open_models
from models.runtime.tagger import check_engine
from pipeline.config import TagConfig
from pipeline.contract import Done, Split
from pipeline.errors import OutputError, PipelineError, TooManyDeadLettersError
from pipeline.fleet.actors import RayCrew, check_ray
from pipeline.fleet.drive import Crew, drive
from pipeline.fleet.local import LocalCrew
from pipeline.observe.progress import Progress, duration
from pipeline.observe.verdict import verdict
from pipeline.planning import Planner, columns_of
from pipeline.sink import ledger
from pipeline.sink.files import CLAIM, NEXT, drop
from pipeline.sink.manifest import new_run, write_manifest
from pipeline.sink.plan_log import Plan, finished, load_plans, write_finished
from pipeline.source.tables import stop_children
from pipeline.stopping import Stop, stoppable
from pipeline.store.local import LocalStore
from pipeline.worker import STAGES, Step, Work


@dataclass(slots=True)
class Result:
    """What a run did: `rows_in` = `rows_out` + `dead_letters` + `filtered`; speeds include reading and writing.

    `failures` names the splits that were given up.
    """

    run: str
    manifest: str = ""
    status: str = "finished"
    parts: int = 0
    rows_in: int = 0
    rows_out: int = 0
    dead_letters: int = 0
    filtered: int = 0
    tokens: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    documents_s: float = 0.0
    tokens_s: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)


class _Run:
    def __init__(self, options: TagConfig, models: Models, progress: Progress, stop: Stop) -> None:
        self.options, self.models, self.progress, self._stop = options, models, progress, stop
        self._stages = dict.fromkeys(STAGES, 0.0)
        self._began = time.monotonic()
        self.store = LocalStore(options.output.resolve())
        self.name = new_run()
        self.started = datetime.now(UTC)
        self.parts: list[Done] = []
        self.failures: dict[str, Exception] = {}
        self.plans: list[int] = []
        self._predicted: dict[str, int] = {}
        self.planner = Planner(options, models, self.store)

    def go(self) -> None:
        """Plan after plan, until no file is left that no plan names."""
        while (plan := self.planner.next()) is not None:
            splits = ledger.missing([plan], ledger.parts(self.store))
            self._announce(plan, splits)
            self._tag(plan, splits)
            there = ledger.parts(self.store)
            if not ledger.missing([plan], there):
                self._finish(plan, there)
            elif self._is_new_generation(plan):
                return  # what is there of the old generation stays until the new one is whole
            else:
                self.planner.tried.add(plan.number)  # splits that were given up; the next run tries them again
        if not self.planner.tried:
            drop(self.store, NEXT)
            ledger.clean(self.store)
        self.failures.update(self.planner.changed)

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
        if skipped := self.planner.skipped:
            self.progress.say("left alone: " + ", ".join(f"{count:,} {reason}" for reason, count in sorted(skipped.items())))

    def _tag(self, plan: Plan, splits: Sequence[Split]) -> None:
        self.plans.append(plan.number)
        if not splits:
            return
        options = self.options
        self._predicted = {split.name: split.tokens for split in splits}
        self.progress.expect(sum(split.tokens for split in splits), len(splits))
        folder = f"{NEXT}/" if self._is_new_generation(plan) else ""
        about = {"plan": plan.number, "run": self.name, "model": self.models.name, "model_digest": self.models.digest}
        threads = options.threads
        if options.workers and threads is None:
            threads = max(1, len(os.sched_getaffinity(0)) // options.workers)
        work = Work(
            plan.root, self.store.url, columns_of(plan), options.model, options.engine, threads, self.name, folder, about
        )  # fmt: skip
        died_over = ledger.died_over(self.store)
        try:
            with ExitStack() as stack:
                crew: Crew
                if options.workers:
                    crew = stack.enter_context(RayCrew(work, options.workers, self._check, self._told))
                else:
                    crew = LocalCrew(work, self._check, self._told)
                self.failures.update(drive(splits, crew, self._done, died_over))
        except BaseException:
            ledger.forget(self.store, self.name)  # no worker of this run is alive here
            raise

    def _check(self) -> None:
        self._stop.check()
        self.progress.show()
        if self._stop.told():
            self.progress.say(str(self._verdict()["text"]))

    def _verdict(self) -> dict[str, object]:
        return verdict(self._stages, time.monotonic() - self._began, self.options.workers, self.models.name)

    def _is_new_generation(self, plan: Plan) -> bool:
        plans = load_plans(self.store)
        return plan.generation > ledger.current_generation(plans, finished(self.store, plans))

    def _told(self, step: Step) -> None:
        for stage, spent in step.seconds.items():
            self._stages[stage] += spent
        self.progress.add(step.documents, step.tokens, step.dead_letters, step.filtered, step.predicted)
        progress, options = self.progress, self.options
        dead, seen = progress.dead_letters, progress.documents + progress.dead_letters + progress.filtered
        if dead > options.dead_letter_count and dead > options.dead_letter_share * seen:
            raise TooManyDeadLettersError(
                f"{dead:,} of {seen:,} documents are dead letters, more than {options.dead_letter_share:.0%} and "
                f"{options.dead_letter_count:,}: is {options.columns.text!r} the text column? Look into "
                f"{self.store.url}/dead_letters, or allow more with --dead-letter-share and --dead-letter-count"
            )

    def _done(self, done: Done) -> None:
        self.parts.append(done)
        self.progress.part(self._predicted[done.name])

    def _finish(self, plan: Plan, there: dict[str, str]) -> None:
        if self._is_new_generation(plan):
            ledger.switch(self.store, plan)
            there = ledger.parts(self.store)
        ledger.recover(self.store, there)
        write_finished(self.store, plan, ledger.counts_of(self.store, plan, there))

    def result(self, status: str, seconds: float) -> Result:
        """Write the manifest and sum up."""
        mine = [part for part in self.parts if part.ours]
        result = Result(
            self.name,
            status=status,
            parts=len(mine),
            rows_in=sum(part.rows + part.dead_letters + part.filtered for part in mine),
            rows_out=sum(part.rows for part in mine),
            dead_letters=sum(part.dead_letters for part in mine),
            filtered=sum(part.filtered for part in mine),
            tokens=sum(part.tokens for part in mine),
            skipped=dict(self.planner.skipped),
            seconds=round(seconds, 2),
            failures={name: str(error) for name, error in self.failures.items()},
        )
        result.documents_s = round(result.rows_out / seconds, 1)
        result.tokens_s = round(result.tokens / seconds, 1)
        stages = dict.fromkeys(STAGES, 0.0)
        for part in mine:
            for stage, spent in part.seconds.items():
                stages[stage] = round(stages[stage] + spent, 3)
        found = verdict(stages, seconds, self.options.workers, self.models.name)
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
        metrics = {"seconds": round(seconds, 3), "stages_s": stages, "verdict": found, **_speeds(result)}
        result.manifest = f"{self.store.url}/{write_manifest(self.store, self.name, about, mine, metrics)}"
        if status == "finished":
            ledger.clean(self.store)
        return result


def _card_speed(models: Models) -> float | None:
    """Tokens/s that the card of the slowest model says, on the machine that made it."""
    try:
        cards = [json.loads((package.folder / "metrics.json").read_text()) for package in models.packages]
        return min(float(card["speed"]["engine_tokens_s"]) for card in cards)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _speeds(result: Result) -> dict[str, float]:
    return {"documents_s": result.documents_s, "tokens_s": result.tokens_s, "rows_in": result.rows_in, "tokens": result.tokens}


def tag_documents(options: TagConfig) -> Result:
    """Tag every document of the input that no plan of the output names yet; finish first what an earlier run left.

    Raises ConfigError or OutputError before anything is tagged, ModelError if the model is refused, ClaimedError if
    another run works on this output, and the first error of a split that was given up, after all others are done.
    """
    models = open_models(options.model)
    check_engine(options.engine)
    if options.workers:
        check_ray()
    if options.output.is_file():
        raise OutputError(f"{options.output} is a file; name a folder")
    began = time.monotonic()
    with stoppable() as stop, Progress() as progress:
        run = _Run(options, models, progress, stop)
        ledger.check_output(run.store)
        run.planner.look()  # what is wrong with the input is said before the output is made
        with run.store.claim(CLAIM):
            status = "failed"
            try:
                run.go()
                status = "failed" if run.failures else "finished"
                if status == "finished" and not progress.documents and progress.dead_letters:
                    status = "failed"
                    run.failures["input"] = TooManyDeadLettersError(
                        f"all {progress.dead_letters:,} documents are dead letters: is {options.columns.text!r} the text "
                        f"column? Look into {run.store.url}/dead_letters"
                    )
            except KeyboardInterrupt:
                status = "stopped"
                raise
            finally:
                stop_children()
                if run.plans or run.failures:
                    result = run.result(status, time.monotonic() - began)
                else:
                    result = Result(run.name, status="nothing to do")
    for error in run.failures.values():
        raise error if isinstance(error, PipelineError) else OutputError(str(error))
    return result
