"""A circuit breaker: after some failures in a row nothing is asked for a while, then once, to see."""

from __future__ import annotations

import time
from collections.abc import Callable

FAILURES = 3
FIRST_S, LONGEST_S = 5.0, 60.0


class Breaker:
    """Closed while all is well; opens for 5 s after 3 failures in a row.

    Then one try closes it, or opens it for twice as long, up to a minute.

    Args:
        clock: Seconds, as time.monotonic().
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._closed_s = FIRST_S
        self._until: float | None = None

    def allows(self) -> bool:
        """Whether something may be asked now."""
        return self._until is None or self._clock() >= self._until

    def succeeded(self) -> None:
        """It went well."""
        self._failures, self._until, self._closed_s = 0, None, FIRST_S

    def failed(self) -> bool:
        """Note a failure.

        Returns:
            Whether that opened the breaker.
        """
        self._failures += 1
        if self._failures < FAILURES and self._until is None:
            return False
        self._until = self._clock() + self._closed_s
        self._closed_s = min(LONGEST_S, 2 * self._closed_s)
        return True
