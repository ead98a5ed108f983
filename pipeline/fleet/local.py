"""The work done in this process."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.contract import Split
from pipeline.errors import PipelineError
from pipeline.fleet.drive import Answer
from pipeline.worker import Step, TagWorker, Work


class LocalCrew:
    """One worker, which works while it is waited for."""

    size = 1

    def __init__(self, work: Work, check: Callable[[], object], tell: Callable[[Step], object]) -> None:
        self._worker, self._check, self._tell = TagWorker(work), check, tell
        self._split: Split | None = None

    def begin(self, worker: int, split: Split) -> None:
        self._split = split

    def wait(self) -> Answer:
        assert self._split is not None
        split, self._split = self._split, None
        try:
            return Answer(0, split.name, self._worker.run(split, self._check, self._tell))
        except PipelineError as error:
            return Answer(0, split.name, None, error)

    def replace(self, worker: int) -> None:
        raise AssertionError("this process is the worker")
