"""When to look at whom: times rounded up to slots, so that thousands of workers that are due together cost one step each."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

SLOT_S = 0.05


class TimerQueue:
    """Numbers by the time at which they are due."""

    def __init__(self) -> None:
        self._slots: dict[int, list[int]] = {}
        self._order: list[int] = []

    @property
    def next(self) -> float | None:
        """The earliest time; None if nothing is due ever."""
        return self._order[0] * SLOT_S if self._order else None

    def add(self, at: float, number: int) -> float:
        """Have a number come up.

        Args:
            at: When, seconds.
            number: What comes up.

        Returns:
            When it will come up, at most SLOT_S later.
        """
        slot = math.ceil(at / SLOT_S - 1e-9)
        numbers = self._slots.get(slot)
        if numbers is None:
            self._slots[slot] = [number]
            heapq.heappush(self._order, slot)
        else:
            numbers.append(number)
        return slot * SLOT_S

    def until(self, now: float) -> Iterator[tuple[float, int]]:
        """Take off what is due by now, also what is added meanwhile.

        Args:
            now: Time, seconds.

        Yields:
            Time and number.
        """
        while self._order and self._order[0] * SLOT_S <= now:
            slot = heapq.heappop(self._order)
            for number in self._slots.pop(slot):
                yield slot * SLOT_S, number
