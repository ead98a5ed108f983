"""The workers: who works, who is being started, and who is not started again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pipeline.scheduler.events import Command, EndRun, Replace, WorkerJoined
from pipeline.scheduler.speeds import Worker

# Times that a worker is replaced for having died over splits; more than one split may cost.
MAX_REPLACED = 5
# Workers that may die before they have loaded the model, beside one for each that was to start.
START_BUDGET = 3


class WorkerRegistry:
    """The workers that are there or being started.

    Args:
        starting: Numbers of the workers that are being started.

    Attributes:
        workers: Those that take part, by number.
        unknown: How many of them have not shown their speed yet.
    """

    def __init__(self, starting: Iterable[int]) -> None:
        self.starting = set(starting)
        self.workers: dict[int, Worker] = {}
        self.unknown = 0
        self._next = max(self.starting, default=-1) + 1
        self._budget = START_BUDGET + len(self.starting)
        self._deaths: Counter[int] = Counter()

    def join(self, event: WorkerJoined) -> Worker:
        """Take in a worker that is ready.

        Args:
            event: Its number, and what is known of it.

        Returns:
            The worker.
        """
        self.starting.discard(event.worker)
        self._next = max(self._next, event.worker + 1)
        worker = self.workers[event.worker] = Worker(event.worker, began=event.now, home=event.home)
        if event.speed:
            worker.expect(event.speed)
        else:
            self.unknown += 1
        return worker

    def hire(self) -> int:
        """Return the number of one more worker, which is being started."""
        number, self._next = self._next, self._next + 1
        self.starting.add(number)
        return number

    def leave(self, worker: Worker) -> None:
        """Forget a worker that is gone.

        Args:
            worker: The worker.
        """
        del self.workers[worker.number]
        self.unknown -= worker.speed is None

    def replace(self, number: int, blame: bool, worked: bool) -> list[Command]:
        """Start another worker for one that is gone, unless too many have died like it by themselves.

        Args:
            number: The one that is gone.
            blame: Whether it died by itself, and not because its machine was lost.
            worked: Whether it had joined.

        Returns:
            What is to be done; without any worker left the run ends.
        """
        if not worked and number not in self.starting:
            return []
        self.starting.discard(number)
        deaths = self._deaths.pop(number, 0)
        if worked:
            deaths += blame
        else:
            self._budget -= blame
        if not blame or (deaths <= MAX_REPLACED and (worked or self._budget >= 0)):
            by = self.hire()
            self._deaths[by] = deaths
            return [Replace(number, by)]
        if self.workers or self.starting:
            return []
        how = "over one split after the other" if worked else "before they had loaded the model"
        return [EndRun(f"no worker is left: they died {how}")]
