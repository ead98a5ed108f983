"""The work done in this process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from typing_extensions import override

from pipeline.contract import Split
from pipeline.errors import PipelineError
from pipeline.fleet.driver import LeaseResult, News, WorkerPool, WorkerReady
from pipeline.scheduler.events import Lease
from pipeline.worker.worker import BlockStats, TagWorker, WorkerSpec


class LocalPool(WorkerPool):
    """One worker, which works while it is waited for.

    Args:
        work: What the worker must know of the run.
        check: Called often while it works; what it raises ends the run.
        tell: Hears of every block.
    """

    size = 1
    ahead_s = 0.0
    up_at: float | None = None

    def __init__(self, work: WorkerSpec, check: Callable[[], object], tell: Callable[[BlockStats], object]) -> None:
        self._worker, self._check, self._tell = TagWorker(work), check, tell
        self._given: deque[tuple[Lease, Split]] = deque()
        self._up: list[News] = []

    @override
    def start(self, worker: int) -> None:
        self.up_at = time.monotonic()
        self._up.append(WorkerReady(worker))

    @override
    def begin(self, lease: Lease, split: Split) -> None:
        self._given.append((lease, split))

    @override
    def call_back(self, lease: int, worker: int) -> None:
        raise AssertionError("nobody else does what this process does")

    @override
    def dismiss(self, worker: int) -> None:
        """Do nothing: this process cannot end itself and go on; what hangs here hangs.

        Args:
            worker: Number of the worker.
        """

    @override
    def room(self) -> int:
        return 0

    @override
    def wait(self, seconds: float | None) -> Sequence[News]:
        if self._up or not self._given:
            news, self._up = self._up, []
            return news
        lease, split = self._given.popleft()
        began = time.monotonic()
        try:
            done = self._worker.run(split, self._check, self._tell, lease.isolated)
        except (PipelineError, MemoryError) as error:
            return [LeaseResult(lease, time.monotonic() - began, error=error)]
        return [LeaseResult(lease, time.monotonic() - began, done)]
