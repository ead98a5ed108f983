"""What all workers can do together: when the whole is expected to end."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pipeline.scheduler.size_classes import SizeClassQueue
from pipeline.scheduler.speeds import Worker

# A worker so much slower than the fastest is given only what it can finish in time; the others take the largest.
FAST = 0.7
# It takes what fills this share of the time until the end is expected, a worker that has ended no lease yet this one; if all
# that waits is larger, the smallest, up to the share LAST.
SAFE, UNPROVEN, LAST = 0.5, 0.1, 0.8


class Capacity:
    """Sums over the workers that take leases, kept up to date one worker at a time.

    Attributes:
        speed: Predicted tokens/s of all together.
        fastest: Predicted tokens/s of the fastest.
    """

    def __init__(self) -> None:
        self.speed = 0.0
        self.fastest = 0.0
        self._moment = 0.0  # sum of speed * the time at which the worker is free, of those that work
        self._idle_speed = 0.0

    def forget(self, worker: Worker) -> None:
        """Leave a worker out, until it is counted again.

        Args:
            worker: One that is counted.
        """
        self.speed -= worker.counted
        if worker.idle:
            self._idle_speed -= worker.counted
        else:
            self._moment -= worker.moment
        worker.counted = worker.moment = 0.0

    def count(self, worker: Worker, now: float) -> None:
        """Take in what has changed of a worker: its speed, its load, whether it takes leases.

        Args:
            worker: The worker, counted before or not.
            now: Time, seconds.
        """
        self.speed -= worker.counted
        if worker.idle:
            self._idle_speed -= worker.counted
        else:
            self._moment -= worker.moment
        speed = worker.speed or 0.0
        worker.idle = not worker.held
        worker.free_at = now if worker.idle or not speed else max(now, worker.began + worker.load / speed)
        if not worker.open:
            speed = 0.0
        worker.counted = speed
        worker.moment = 0.0 if worker.idle else speed * worker.free_at
        self.speed += speed
        if worker.idle:
            self._idle_speed += speed
        else:
            self._moment += worker.moment
        if speed > self.fastest:
            self.fastest = speed

    def give(self, worker: Worker, now: float) -> None:
        """Take in that an open worker has been given one more lease; cheaper than counting it anew.

        Args:
            worker: One that is counted, with the lease already in its load.
            now: Time, seconds.
        """
        speed = worker.counted
        if worker.idle:
            worker.idle = False
            self._idle_speed -= speed
        else:
            self._moment -= worker.moment
        free_at = worker.began + worker.load / speed if speed else now
        worker.free_at = free_at = free_at if free_at > now else now
        worker.moment = speed * free_at
        self._moment += worker.moment

    def end(self, tokens: float, now: float) -> float:
        """Predict when everything would be done if all workers ended at the same time.

        Args:
            tokens: Predicted tokens that wait, beside all that is leased.
            now: Time, seconds.

        Returns:
            The time, seconds; `now` while no speed is known.
        """
        if self.speed <= 0:
            return now
        return max(now, (tokens + self._moment + self._idle_speed * now) / self.speed)

    def most(self, worker: Worker, tokens: float, sizes: SizeClassQueue, now: float) -> float | None:
        """Find the largest split that a worker may take without holding up the end.

        Args:
            worker: One that is counted.
            tokens: Predicted tokens that wait.
            sizes: The splits it chooses from.
            now: Time, seconds.

        Returns:
            Predicted tokens; infinite for workers about as fast as the fastest, None for the smallest split whatever its size.
        """
        speed = worker.counted
        if speed >= FAST * self.fastest:
            return math.inf
        start = now if worker.idle else worker.free_at
        until_end = speed * (self.end(tokens, now) - start)
        most = until_end * (SAFE if worker.measured else UNPROVEN)
        return None if worker.idle and most < sizes.least <= until_end * LAST else most

    def again(self, workers: Iterable[Worker], now: float) -> None:
        """Add up anew: rounding grows with the number of changes, and the fastest may have gone.

        Args:
            workers: All workers.
            now: Time, seconds.
        """
        self.speed = self._moment = self._idle_speed = self.fastest = 0.0
        for worker in workers:
            worker.counted = worker.moment = 0.0
            self.count(worker, now)
