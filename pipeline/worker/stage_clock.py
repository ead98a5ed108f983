"""How long a worker spends in each stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
STAGES = ("read", "prepare", "model", "write")


class StageClock:
    """Adds up the time of stages that follow each other.

    Attributes:
        seconds: Time by stage, wall clock.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._told = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what is done in the body, unless it raises, as time of a stage.

        Args:
            name: One of STAGES.

        Yields:
            Nothing.
        """
        began = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - began

    def waited(self, name: str, items: Iterator[T]) -> Iterator[T]:
        """Count the time that is spent waiting for the next item.

        Args:
            name: One of STAGES.
            items: What is waited for.

        Yields:
            The items.
        """
        end = object()
        while True:
            with self.stage(name):
                item = next(items, end)
            if item is end:
                return
            yield item  # type: ignore[misc]

    def since_last(self) -> dict[str, float]:
        """Return the time by stage since this was asked last, in seconds."""
        fresh = {stage: self.seconds[stage] - self._told[stage] for stage in STAGES}
        self._told = dict(self.seconds)
        return fresh
