"""A circuit breaker: after some failures in a row nothing is asked for a while, then once, to see."""

from __future__ import annotations

import time
from collections.abc import Callable

FAILURES = 3
FIRST_S, LONGEST_S = 5.0, 60.0


class Breaker:
    """A circuit breaker: after 3 failures in a row it forbids calls for 5 s, then lets one through as a trial.

    A trial that succeeds closes the breaker; one that fails opens it again for twice as long as before, up to a minute.

    Args:
        clock: Gives seconds that never run backwards, like `time.monotonic`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._closed_s = FIRST_S
        self._until: float | None = None

    def allows(self) -> bool:
        """Whether a call may be made now."""
        return self._until is None or self._clock() >= self._until

    def succeeded(self) -> None:
        """Note that a call succeeded, which closes the breaker."""
        self._failures, self._until, self._closed_s = 0, None, FIRST_S

    def failed(self) -> bool:
        """Note that a call failed, which may open the breaker.

        Returns:
            Whether the breaker is open now.
        """
        self._failures += 1
        if self._failures < FAILURES and self._until is None:
            return False
        self._until = self._clock() + self._closed_s
        self._closed_s = min(LONGEST_S, 2 * self._closed_s)
        return True
