"""How long a run waits for a worker, and what it says meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.errors import NoWorkersError

# A run without workers says what it waits for after so many seconds; loading a model takes a few.
SOON_S = 8.0
# Time counts only as far as somebody waited: not the hours that this process was suspended.
_STEP_S = 5.0


class WorkerWait:
    """Counts the seconds in which no worker was alive.

    Args:
        no_workers_s: After so many seconds the run ends.
        waits: Hears what the run waits for, again and again; "" when it does not any more.
        clock: Seconds, as time.monotonic().

    Attributes:
        waited_s: Seconds without a worker.
    """

    def __init__(self, no_workers_s: float, waits: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s, self._waits, self._clock = no_workers_s, waits, clock
        self._seen, self.waited_s = clock(), 0.0

    def look(self, alive: int, about: Callable[[], str]) -> None:
        """Count; to be called often.

        Args:
            alive: Workers that are alive.
            about: Says who is wanted, and what Ray says.

        Raises:
            NoWorkersError: None has been alive for longer than the limit.
        """
        now = self._clock()
        self.waited_s += min(now - self._seen, _STEP_S)
        self._seen = now
        if alive:
            if self.waited_s >= SOON_S:
                self._waits("")
            self.waited_s = 0.0
        elif self.waited_s > self._limit_s:
            remedy = "start its nodes, wait until others have ended, or set no_workers_s higher; then run the command again"
            raise NoWorkersError(f"no worker has been alive for {self.waited_s:.0f} s ({about()}); {remedy}")
        elif self.waited_s >= SOON_S:
            self._waits(f"waits for a worker: none has been alive for {self.waited_s:.0f} s ({about()})")
