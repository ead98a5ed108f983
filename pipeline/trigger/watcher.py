"""The watcher: looks, decides, claims, runs, records; one line in the log for each decision that is new."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import Protocol

from pipeline.errors import ClaimedError, LostClaimError, PipelineError, StoreError
from pipeline.faults import point
from pipeline.nightly.config import NightConfig
from pipeline.store.claim import Claim, held
from pipeline.trigger.batch_log import BatchLog, BatchResult, claim_folder
from pipeline.trigger.batches import InputBatch, Landing, is_as_seen
from pipeline.trigger.decide import NOT_YET, Decision, Seen, decide

TRY_AGAIN = 3


class Runner(Protocol):
    """Runs batches."""

    def __call__(self, batch: InputBatch, attempt: int, check: Callable[[], object]) -> BatchResult:
        """Run a batch to its end.

        Args:
            batch: The batch.
            attempt: Number of the attempt, from 1.
            check: Called often; what it raises ends the run.

        Returns:
            How it ended.

        Raises:
            ClaimedError: The output is busy: then it was no attempt.
        """
        ...


class Watcher:
    """Looks at an input and runs what is to be run; any number of watchers may look at one input and output.

    Args:
        config: Settings of the job.
        log: What is known of batches.
        runner: Runs a batch.
        say: Gets batch, revision, decision and why.
        check: Called often; what it raises ends a poll.
        monotonic: Seconds, as time.monotonic().
    """

    def __init__(
        self,
        config: NightConfig,
        log: BatchLog,
        runner: Runner,
        say: Callable[[str, str, str, str], object],
        check: Callable[[], object] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._log, self._runner, self._say, self._check = config, log, runner, say, check
        self._monotonic = monotonic
        self._landing = Landing(config.tag, config.watch.marker, config.watch.manifest)
        self._memory: dict[str, Seen] = {}
        self._not_before_s: dict[str, float] = {}
        self._told: dict[str, tuple[str, str, str]] = {}

    def poll(self, hints: Collection[str] = ()) -> int:
        """Look once, and run what is to be run.

        What is wrong with the input, or with the store, is told and looked at again by the next poll.

        Args:
            hints: Paths where something may have come; only told of.

        Returns:
            How many runs have ended for good.
        """
        try:
            batches = self._landing.look()
            recorded = self._log.recorded([batch.revision for batch in batches])
        except PipelineError as error:
            self._tell("", "", "wait", f"the input cannot be looked at: {error}")
            return 0
        self._told.pop("", None)
        settle_s = self._config.watch.settle_s
        left = [batch for batch in batches if batch.revision not in recorded]
        self._memory, decisions = decide(self._memory, self._monotonic(), left, self._not_before_s, settle_s)
        if hints:
            names = {batch.name for batch in batches}
            for hint in hints:
                if not any(above in names for above in accumulate(hint.split("/"), "{}/{}".format)):
                    self._say(hint, "", "wait", "a hint names it, and it is not there (yet)")
        ended = 0
        for one in decisions:
            self._check()
            self._tell(one.batch.name, one.batch.revision, one.action, one.why)
            if one.action == "run":
                ended += self._run(one)
        return ended

    def _run(self, one: Decision) -> bool:
        batch, config = one.batch, self._config
        try:
            with held(Claim(self._log.store, claim_folder(batch.revision), config.claim_s)) as claim:
                return self._claimed(batch, claim)
        except ClaimedError as error:
            self._tell(batch.name, batch.revision, "wait", str(error))
        except StoreError as error:
            self._again(batch, f"the output cannot be written: {error}", 1)
        finally:
            with suppress(StoreError):
                if self._log.is_recorded(batch.revision):  # nobody needs the claim any more: who takes it finds the record
                    self._log.store.delete(claim_folder(batch.revision))
        return False

    def _claimed(self, batch: InputBatch, claim: Claim) -> bool:
        log = self._log
        if log.is_recorded(batch.revision):
            return False  # somebody was faster
        if not is_as_seen(self._config.tag, batch):
            self._tell(batch.name, batch.revision, "wait", "it has changed just now")
            return False

        def check() -> None:
            self._check()
            claim.check()

        number = log.begin(batch.revision, claim.owner)
        point("batch.begin")
        if number > self._config.watch.attempts:
            ran = BatchResult(TRY_AGAIN, error=f"given up after {number - 1} attempts that ended with `try again`, or not at all")
            number -= 1
        else:
            try:
                ran = self._runner(batch, number, check)
            except LostClaimError:
                raise
            except ClaimedError as error:
                log.take_back(batch.revision, number)
                self._tell(batch.name, batch.revision, "wait", str(error))
                return False
            except KeyboardInterrupt:
                log.take_back(batch.revision, number)
                raise
            point("batch.ran")
            if ran.exit_code == TRY_AGAIN and number < self._config.watch.attempts:
                self._again(batch, ran.error, number)
                return False
        claim.check()
        first = log.record(batch, ran, number)
        self._tell(batch.name, batch.revision, "done", f"exit code {ran.exit_code} {ran.manifest or ran.error}".strip())
        return first

    def _again(self, batch: InputBatch, error: str, attempt: int) -> None:
        wait_s = self._config.watch.retry_s * 2 ** (attempt - 1)
        self._not_before_s[batch.revision] = self._monotonic() + wait_s
        self._tell(batch.name, batch.revision, "wait", f"attempt {attempt}: {error}; again in {wait_s:g} s")

    def _tell(self, name: str, revision: str, action: str, why: str) -> None:
        """Say a decision, unless it is what was said last."""
        if self._told.get(name) == (revision, action, why) or why == NOT_YET:
            return
        self._told[name] = (revision, action, why)
        self._say(name, revision, action, why)


def run_here(config: NightConfig) -> Runner:
    """Make a runner that tags a batch in this process, or with the workers that the settings name.

    Args:
        config: Settings of the job.

    Returns:
        The runner.
    """
    from pipeline.exits import exit_of
    from pipeline.run.run import tag_documents

    def run(batch: InputBatch, attempt: int, check: Callable[[], object]) -> BatchResult:
        check()
        try:
            result = tag_documents(config.tag.model_copy(update={"only": only_of(batch), "look_s": 0.0}))
        except ClaimedError:
            raise
        except Exception as error:  # noqa: BLE001 - the record tells of whatever it is
            text = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
            return BatchResult(exit_of(error).code, error=text)
        return BatchResult(0, result.run, result.manifest)

    return run


def only_of(batch: InputBatch) -> Sequence[tuple[str, int, int]]:
    """Return the batch's files for `TagConfig.only`: path, size and time, so that a file that changes now is not taken.

    Args:
        batch: The batch.
    """
    return tuple((entry.path, entry.size, entry.modified_ns) for entry in batch.files)
