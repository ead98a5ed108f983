"""The splits that wait: by rank, and within a rank by size, so that the largest one below a size is found at once."""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence

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


class _Line:
    """Splits of about one size, first in, first out: 16 bytes each, so that a million of them are read in a row, not from
    all over the memory. What has been begun before goes first.
    """

    __slots__ = ("_again", "_at", "_splits", "_tokens")

    def __init__(self) -> None:
        self._splits, self._tokens = array("q"), array("q")
        self._at = 0
        self._again: list[tuple[int, int]] = []

    def push(self, split: int, tokens: int) -> None:
        self._splits.append(split)
        self._tokens.append(tokens)

    def push_first(self, split: int, tokens: int) -> None:
        self._again.append((split, tokens))

    def pop(self) -> tuple[int, int]:
        """The first split, which there must be."""
        if self._again:
            return self._again.pop()
        at = self._at
        found = self._splits[at], self._tokens[at]
        self._at = at = at + 1
        if at == len(self._splits):
            del self._splits[:], self._tokens[:]
            self._at = 0
        return found

    def __bool__(self) -> bool:
        return bool(self._again) or self._at < len(self._splits)


class Sizes:
    """Splits of one rank, first in, first out within a step of size; `tokens` in all."""

    def __init__(self, rank: float) -> None:
        self.rank, self.tokens = rank, 0
        self._steps: dict[int, _Line] = {}
        self._filled = 0  # a bit for every step that holds a split

    def __bool__(self) -> bool:
        return self._filled != 0

    @property
    def least(self) -> float:
        """About the tokens of the smallest split; infinite if there is none."""
        return 2.0 ** (((self._filled & -self._filled).bit_length() - 1) / STEPS_AN_OCTAVE) if self._filled else math.inf

    def push_first(self, split: int, tokens: int) -> None:
        """Before the others of its size."""
        step = step_of(tokens)
        self._line(step).push_first(split, tokens)
        self._filled |= 1 << step
        self.tokens += tokens

    def extend(self, splits: Iterable[tuple[int, int]]) -> None:
        """Numbers with tokens, which are at least 1, in order."""
        total = 0
        for split, tokens in splits:
            self._line(step_of(tokens)).push(split, tokens)
            total += tokens
        for step, line in self._steps.items():
            if line:
                self._filled |= 1 << step
        self.tokens += total

    def _line(self, step: int) -> _Line:
        line = self._steps.get(step)
        if line is None:
            line = self._steps[step] = _Line()
        return line

    def pop(self, most: float | None) -> tuple[int, int] | None:
        """The largest split of at most `most` tokens, by steps; with None the smallest one. None if there is no such."""
        if most is None:
            below = self._filled & -self._filled
        elif most < 1:
            return None
        else:
            below = self._filled & ((2 << step_of(int(min(most, 1e15)))) - 1)
        if not below:
            return None
        step = below.bit_length() - 1
        line = self._steps[step]
        found = line.pop()
        if not line:
            self._filled ^= 1 << step
        self.tokens -= found[1]
        return found


class Waiting:
    """All splits that wait, the ranks in order."""

    def __init__(self) -> None:
        self.tokens = 0
        self.count = 0
        self._ranks: dict[float, Sizes] = {}
        self._order: list[float] = []  # a heap of -rank
        self._top: Sizes | None = None  # the highest rank; perhaps empty by now

    def extend(self, splits: Sequence[tuple[int, int]], at: float) -> None:
        """Splits of one rank `at`, numbers with predicted tokens; what has none counts as one token."""
        if not splits:
            return
        sizes = self._of(at)
        before = sizes.tokens
        sizes.extend((split, max(1, tokens)) for split, tokens in splits)
        self.tokens += sizes.tokens - before
        self.count += len(splits)

    def push_first(self, split: int, tokens: int, at: float) -> None:
        """A split of rank `at` that has been begun before: it goes before the others of its size."""
        self._of(at).push_first(split, tokens)
        self.tokens += tokens
        self.count += 1

    def _of(self, at: float) -> Sizes:
        sizes = self._ranks.get(at)
        if sizes is None:
            sizes = self._ranks[at] = Sizes(at)
            heapq.heappush(self._order, -at)
            self._top = self._ranks[-self._order[0]]
        return sizes

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
