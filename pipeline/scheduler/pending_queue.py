"""The splits that wait: by rank, and within a rank by size."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pipeline.scheduler.size_classes import SizeClassQueue

# Waiting so long is worth as much as one step of priority.
WAIT_S = 1800.0
# Splits that began to wait within so many seconds are of one rank.
TOGETHER_S = 10.0


def rank(priority: float, since: float) -> float:
    """Compute what goes first: the higher rank.

    The effective priority is `priority` + time waited / WAIT_S. It grows for all alike, so the order of two splits never changes,
    and urgent ones go first without starving any.

    Args:
        priority: Of the split.
        since: When it began to wait, seconds.

    Returns:
        The rank; splits that began to wait within TOGETHER_S share one.
    """
    return priority - math.floor(since / TOGETHER_S) * TOGETHER_S / WAIT_S


class PendingQueue:
    """All splits that wait, the ranks in order.

    Attributes:
        tokens: Predicted tokens of all.
        count: Number of splits.
    """

    def __init__(self) -> None:
        self.tokens = 0
        self.count = 0
        self._ranks: dict[float, SizeClassQueue] = {}
        self._order: list[float] = []  # a heap of -rank
        self._top: SizeClassQueue | None = None  # the highest rank; perhaps empty by now

    def extend(self, splits: Sequence[tuple[int, int]], at: float, homes: Mapping[int, int]) -> None:
        """Add splits of one rank.

        Args:
            splits: Numbers with predicted tokens; a split without any counts as one token.
            at: Their rank.
            homes: Split -> number of the machine where its data lies, where that is known; see `Arrived.homes`.
        """
        if not splits:
            return
        sizes = self._of(at)
        before = sizes.tokens
        sizes.extend(((split, max(1, tokens)) for split, tokens in splits), homes)
        self.tokens += sizes.tokens - before
        self.count += len(splits)

    def push_first(self, split: int, tokens: int, at: float) -> None:
        """Add a split that has been begun before: it goes before the others of its size.

        Args:
            split: Number of the split.
            tokens: Its predicted tokens.
            at: Its rank.
        """
        self._of(at).push_first(split, tokens)
        self.tokens += tokens
        self.count += 1

    def _of(self, at: float) -> SizeClassQueue:
        sizes = self._ranks.get(at)
        if sizes is None:
            sizes = self._ranks[at] = SizeClassQueue(at)
            heapq.heappush(self._order, -at)
            self._top = self._ranks[-self._order[0]]
        return sizes

    def groups(self) -> Iterable[tuple[float, SizeClassQueue]]:
        """Go through the ranks that hold splits, highest first; usually there are one or two.

        Returns:
            For each rank the predicted tokens that wait in it and in those before it, and its splits.
        """
        top = self._top
        if top is not None and top and len(self._order) == 1:
            return ((top.tokens, top),)
        return self._several()

    def _several(self) -> Iterator[tuple[float, SizeClassQueue]]:
        while self._order and not self._ranks[-self._order[0]]:
            del self._ranks[-heapq.heappop(self._order)]
        self._top = self._ranks[-self._order[0]] if self._order else None
        before = 0
        for negative in sorted(self._order):
            sizes = self._ranks[-negative]
            if sizes:
                before += sizes.tokens
                yield before, sizes

    def take(self, sizes: SizeClassQueue, most: float | None, home: int | None) -> tuple[int, int] | None:
        """Take a split of one rank off the queue, chosen as `SizeClassQueue.pop` does.

        Args:
            sizes: The splits of the rank, from `groups`.
            most: Largest predicted tokens; None takes the smallest split.
            home: Number of the worker's machine, None where it is not known.

        Returns:
            Number and predicted tokens, or None if there is no such split.
        """
        found = sizes.pop(most, home)
        if found is not None:
            self.tokens -= found[1]
            self.count -= 1
        return found
