"""Splits by size, so that the largest one below a size is found at once, and a million of them take 16 MB."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping

# Sizes that differ by less than a twelfth of an octave (6 %) count as equal.
STEPS_AN_OCTAVE = 12
# A split whose data lies where the worker is may be so many steps (a third) smaller than the one that it would be given else.
NEAR_STEPS = 6


def step_of(tokens: int) -> int:
    """Compute the size class of a split.

    Args:
        tokens: Predicted tokens.

    Returns:
        The step on a logarithmic scale, STEPS_AN_OCTAVE to an octave.
    """
    return int(math.log2(max(1, tokens)) * STEPS_AN_OCTAVE)


class _Queue:
    """Splits of about one size, first in, first out.

    16 bytes each, so that a million of them are read in a row, not from all over the memory.
    """

    __slots__ = ("_at", "_splits", "_tokens")

    def __init__(self) -> None:
        self._splits, self._tokens = array("q"), array("q")
        self._at = 0

    def put(self, split: int, tokens: int) -> None:
        self._splits.append(split)
        self._tokens.append(tokens)

    def take(self) -> tuple[int, int]:
        """The first split, which there must be."""
        at = self._at
        found = self._splits[at], self._tokens[at]
        self._at = at = at + 1
        if at == len(self._splits):
            del self._splits[:], self._tokens[:]
            self._at = 0
        return found

    def __len__(self) -> int:
        return len(self._splits) - self._at


class _SizeClass(_Queue):
    """What waits of one size: what has been begun before, which goes first, a queue for each home, and what has none."""

    __slots__ = ("_again", "homes")

    def __init__(self) -> None:
        super().__init__()
        self._again: list[tuple[int, int]] = []
        self.homes: dict[int, _Queue] = {}

    def push(self, split: int, tokens: int, home: int | None) -> None:
        (self if home is None else self.homes.setdefault(home, _Queue())).put(split, tokens)

    def push_first(self, split: int, tokens: int) -> None:
        self._again.append((split, tokens))

    def pop(self, home: int | None) -> tuple[int, int]:
        """A split, which there must be: one of that home, else one of none, else one of where most are left."""
        if self._again:
            return self._again.pop()
        if not self.homes or (home not in self.homes and len(self)):
            return self.take()
        at = home if home in self.homes else max(self.homes, key=lambda one: len(self.homes[one]))
        assert at is not None
        found = self.homes[at].take()
        if not self.homes[at]:
            del self.homes[at]
        return found

    def __bool__(self) -> bool:
        return self._at < len(self._splits) or bool(self._again or self.homes)


class SizeClassQueue:
    """Splits of one rank, first in, first out within a size class.

    Args:
        rank: Of all its splits.

    Attributes:
        tokens: Predicted tokens of all.
    """

    def __init__(self, rank: float) -> None:
        self.rank, self.tokens = rank, 0
        self._steps: dict[int, _SizeClass] = {}
        self._housed = False  # whether any home was ever known
        self._filled = 0  # a bit for every step that holds a split

    def __bool__(self) -> bool:
        return self._filled != 0

    @property
    def least(self) -> float:
        """About the tokens of the smallest split; infinite if there is none."""
        return 2.0 ** (((self._filled & -self._filled).bit_length() - 1) / STEPS_AN_OCTAVE) if self._filled else math.inf

    def push_first(self, split: int, tokens: int) -> None:
        """Put a split before the others of its size class.

        Args:
            split: Number of the split.
            tokens: Its predicted tokens, at least 1.
        """
        step = step_of(tokens)
        self._line(step).push_first(split, tokens)
        self._filled |= 1 << step
        self.tokens += tokens

    def extend(self, splits: Iterable[tuple[int, int]], homes: Mapping[int, int]) -> None:
        """Add splits behind those that are there.

        Args:
            splits: Numbers with predicted tokens, each at least 1, in order.
            homes: Split -> number of the machine where its data lies, where that is known.
        """
        total, self._housed = 0, self._housed or bool(homes)
        for split, tokens in splits:
            self._line(step_of(tokens)).push(split, tokens, homes.get(split))
            total += tokens
        for step, line in self._steps.items():
            if line:
                self._filled |= 1 << step
        self.tokens += total

    def _line(self, step: int) -> _SizeClass:
        line = self._steps.get(step)
        if line is None:
            line = self._steps[step] = _SizeClass()
        return line

    def pop(self, most: float | None, home: int | None = None) -> tuple[int, int] | None:
        """Take the largest split that is small enough; one whose data is near rather than a slightly larger one.

        Args:
            most: Largest predicted tokens, to within a size class; None takes the smallest split.
            home: Number of the worker's machine, None where it is not known.

        Returns:
            Number and predicted tokens, or None if there is no such split.
        """
        if most is None:
            below = self._filled & -self._filled
        elif most < 1:
            return None
        else:
            below = self._filled & ((2 << step_of(int(min(most, 1e15)))) - 1)
        if not below:
            return None
        step = below.bit_length() - 1
        if home is not None and self._housed:
            step = self._near(step, below, home)
        line = self._steps[step]
        found = line.pop(home)
        if not line:
            self._filled ^= 1 << step
        self.tokens -= found[1]
        return found

    def _near(self, top: int, below: int, home: int) -> int:
        """The step, of those `below` and not far from the `top`, that holds a split of that home; else the top."""
        for step in range(top, max(-1, top - NEAR_STEPS - 1), -1):
            if below >> step & 1 and home in self._steps[step].homes:
                return step
        return top
