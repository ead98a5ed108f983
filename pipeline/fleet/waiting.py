"""The splits that wait: by rank, and within a rank by size, so that the largest one below a size is found at once."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable, Iterator

# Waiting so long is worth as much as one step of priority.
WAIT_S = 1800.0
# Splits that began to wait within so many seconds are of one rank.
TOGETHER_S = 10.0
# Sizes that differ by less than a twelfth of an octave (6 %) count as equal.
STEPS_AN_OCTAVE = 12


def rank(priority: float, since: float) -> float:
    """What goes first: the higher one.

    Effective priority is `priority` + time waited / WAIT_S, which grows for all alike; so the order of two splits never
    changes, and urgent ones go first without starving any.
    """
    return priority - math.floor(since / TOGETHER_S) * TOGETHER_S / WAIT_S


def step_of(tokens: int) -> int:
    return int(math.log2(max(1, tokens)) * STEPS_AN_OCTAVE)


class Sizes:
    """Splits of one rank, first in, first out within a step of size; `tokens` in all."""

    def __init__(self, rank: float) -> None:
        self.rank, self.tokens = rank, 0
        self._steps: dict[int, deque[tuple[int, int]]] = {}
        self._filled = 0  # a bit for every step that holds a split

    def __bool__(self) -> bool:
        return self._filled != 0

    @property
    def least(self) -> float:
        """About the tokens of the smallest split; infinite if there is none."""
        return 2.0 ** (((self._filled & -self._filled).bit_length() - 1) / STEPS_AN_OCTAVE) if self._filled else math.inf

    def push(self, split: int, tokens: int, first: bool) -> None:
        step = step_of(tokens)
        queue = self._steps.get(step)
        if queue is None:
            queue = self._steps[step] = deque()
        (queue.appendleft if first else queue.append)((split, tokens))
        self._filled |= 1 << step
        self.tokens += tokens

    def pop(self, most: float | None) -> tuple[int, int] | None:
        """The largest split of at most `most` tokens, by steps; with None the smallest one. None if there is no such."""
        if most is None:
            below = self._filled & -self._filled
        elif most < 1:
            return None
        else:
            below = self._filled & ((2 << step_of(int(min(most, 1e15)))) - 1)
        return self._pop(below.bit_length() - 1) if below else None

    def _pop(self, step: int) -> tuple[int, int]:
        queue = self._steps[step]
        split, tokens = queue.popleft()
        if not queue:
            self._filled ^= 1 << step
        self.tokens -= tokens
        return split, tokens


class Waiting:
    """All splits that wait, the ranks in order."""

    def __init__(self) -> None:
        self.tokens = 0
        self.count = 0
        self._ranks: dict[float, Sizes] = {}
        self._order: list[float] = []  # a heap of -rank
        self._top: Sizes | None = None  # the highest rank; perhaps empty by now

    def push(self, split: int, tokens: int, at: float, first: bool = False) -> None:
        """`at` is the split's rank; `first`: before the others of its size (it has been begun before)."""
        sizes = self._ranks.get(at)
        if sizes is None:
            sizes = self._ranks[at] = Sizes(at)
            heapq.heappush(self._order, -at)
            self._top = self._ranks[-self._order[0]]
        sizes.push(split, tokens, first)
        self.tokens += tokens
        self.count += 1

    def groups(self) -> Iterable[tuple[float, Sizes]]:
        """The ranks that hold splits, highest first, each with what waits in it and before it: usually one or two."""
        top = self._top
        if top is not None and top and len(self._order) == 1:
            return ((top.tokens, top),)
        return self._several()

    def _several(self) -> Iterator[tuple[float, Sizes]]:
        while self._order and not self._ranks[-self._order[0]]:
            del self._ranks[-heapq.heappop(self._order)]
        self._top = self._ranks[-self._order[0]] if self._order else None
        before = 0
        for negative in sorted(self._order):
            sizes = self._ranks[-negative]
            if sizes:
                before += sizes.tokens
                yield before, sizes

    def take(self, sizes: Sizes, most: float | None) -> tuple[int, int] | None:
        """Take a split of a group off the list, as `Sizes.pop` chooses it."""
        found = sizes.pop(most)
        if found is not None:
            self.tokens -= found[1]
            self.count -= 1
        return found
