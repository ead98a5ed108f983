"""The work done in this process."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.contract import Split
from pipeline.errors import PipelineError
from pipeline.fleet.drive import Answer
from pipeline.fleet.policy import Lease
from pipeline.worker import Step, TagWorker, Work


class LocalCrew:
    """One worker, which works while it is waited for."""

    size = 1

    def __init__(self, work: Work, check: Callable[[], object], tell: Callable[[Step], object]) -> None:
        self._worker, self._check, self._tell = TagWorker(work), check, tell
        self._given: tuple[Lease, Split] | None = None

    def begin(self, lease: Lease, split: Split) -> None:
        self._given = lease, split

    def wait(self) -> Answer:
        assert self._given is not None
        (lease, split), self._given = self._given, None
        try:
            return Answer(lease, self._worker.run(split, self._check, self._tell, lease.careful))
        except PipelineError as error:
            return Answer(lease, None, error)

    def replace(self, worker: int) -> None:
        raise AssertionError("this process is the worker")
