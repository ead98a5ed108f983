"""Who is served next, and who is not let in: pure, with the time as an argument, so that hours can be simulated in a moment.

Each class of questions has a share of the tokens that are read (stride scheduling; Waldspurger and Weihl, 1995): a class that
waits gains on the others with every token that they get, so that none starves, and what a class does not use goes to the rest.
Within a class it is first come, first served.

A question is let in if its class's queue has room, and if its class's share of the speed of late leaves time to answer it before
its deadline. So a flood of one class is refused, and no other class notices.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntEnum


class QuestionClass(IntEnum):
    """Class of a question; the lowest number goes first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What the queue holds, and how long.

    Attributes:
        batch_tokens: Tokens that are read together; at least one question, whatever it has.
        waiting_tokens: Tokens that may wait in each class.
        shares: Of each class, in tokens that are read while all classes wait.
        deadline_s: By class, the seconds in which a question is to be answered, where it does not say itself.
        tokens_per_s: Speed that is assumed before any is known.
    """

    batch_tokens: int = 512
    waiting_tokens: int = 40_000
    shares: tuple[float, float, float] = (16.0, 4.0, 1.0)
    deadline_s: tuple[float, float, float] = (2.0, 5.0, 15.0)
    tokens_per_s: float = 10_000.0


@dataclass(slots=True, eq=False)
class Waiting:
    """A question that waits.

    Attributes:
        key: What equal questions have in common.
        priority: Its class.
        tokens: Tokens that are to be read next for it, as far as is known.
        arrived: When it came, in seconds.
        deadline: When its answer is of no use any more.
    """

    key: Hashable
    priority: QuestionClass
    tokens: int
    arrived: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Refused:
    """A question that is not answered now.

    Attributes:
        why: full (its class's queue holds no more) or late (it would not be answered before its deadline).
        retry_after_s: Seconds after which there may be room.
    """

    why: str
    retry_after_s: float


class QuestionQueue:
    """The questions that wait, and who is next.

    Args:
        limits: What it holds.

    Attributes:
        tokens: Tokens that wait.
        tokens_per_s: Speed of late.
    """

    # Of the speed that is remembered, so much is the last batch's.
    NEW = 0.2

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._lines: dict[QuestionClass, list[tuple[float, int, Waiting]]] = {priority: [] for priority in QuestionClass}
        self._tokens = dict.fromkeys(QuestionClass, 0)
        # What each class has got, in tokens by its share; the class with the least is next.
        self._got = dict.fromkeys(QuestionClass, 0.0)
        self._now_at = 0.0
        self._by_key: dict[Hashable, Waiting] = {}
        self._count = 0
        self.tokens_per_s = limits.tokens_per_s

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def tokens(self) -> int:
        """Tokens that wait."""
        return sum(self._tokens.values())

    def find(self, key: Hashable) -> Waiting | None:
        """Return the question that waits under a key, if there is one.

        Args:
            key: What equal questions have in common.
        """
        return self._by_key.get(key)

    def offer(self, one: Waiting, now: float) -> Refused | None:
        """Let a question in, or refuse it.

        Args:
            one: The question.
            now: The time, in seconds.

        Returns:
            Why it is refused; None if it waits now.
        """
        ahead = self._tokens[one.priority]
        speed = self.tokens_per_s * self._share(one.priority)
        if ahead and ahead + one.tokens > self._limits.waiting_tokens:
            return Refused("full", max(1.0, one.tokens / speed))
        if (late := now + (ahead + one.tokens) / speed - one.deadline) > 0:
            return Refused("late", max(1.0, late))
        self._add(one)
        return None

    def rejoin(self, one: Waiting, tokens: int) -> None:
        """Take a question back that was read in part: it keeps its arrival, so that it is soon next.

        Args:
            one: The question.
            tokens: What is left to read of it.
        """
        one.tokens = tokens
        self._add(one)

    def hasten(self, one: Waiting, priority: QuestionClass, deadline: float) -> None:
        """Let a question that waits answer an equal one too, which may be of a higher class or have more time.

        Args:
            one: The question that waits.
            priority: Class of the equal one.
            deadline: Its deadline.
        """
        one.deadline = max(one.deadline, deadline)
        if priority < one.priority:
            self._remove(one)
            one.priority = priority
            self._add(one)

    def take(self, now: float) -> tuple[list[Waiting], list[Waiting]]:
        """Take the questions that are read next.

        Args:
            now: The time, in seconds.

        Returns:
            The questions, as many as a batch holds; and those that are dropped, as they could not be answered before their
            deadlines.
        """
        batch: list[Waiting] = []
        late: list[Waiting] = []
        tokens = 0
        while self._by_key:
            priority = min((one for one in QuestionClass if self._lines[one]), key=lambda one: (self._got[one], one))
            one = self._lines[priority][0][2]
            if now + one.tokens / self.tokens_per_s > one.deadline:
                late.append(one)
            elif batch and tokens + one.tokens > self._limits.batch_tokens:
                break
            else:
                batch.append(one)
                tokens += one.tokens
                self._now_at = self._got[priority]
                self._got[priority] += one.tokens / self._limits.shares[priority]
            self._remove(one)
        return batch, late

    def served(self, tokens: int, seconds: float) -> None:
        """Learn how long a batch took.

        Args:
            tokens: Its tokens, as they were predicted.
            seconds: What it took.
        """
        if tokens and seconds > 0:
            self.tokens_per_s += self.NEW * (tokens / seconds - self.tokens_per_s)

    def _share(self, priority: QuestionClass) -> float:
        shares = self._limits.shares
        return shares[priority] / sum(shares[one] for one in QuestionClass if self._lines[one] or one == priority)

    def _add(self, one: Waiting) -> None:
        line = self._lines[one.priority]
        if not line:
            # Who did not wait has no claim on what the others got meanwhile.
            self._got[one.priority] = max(self._got[one.priority], self._now_at)
        self._count += 1
        insort(line, (one.arrived, self._count, one))
        self._by_key[one.key] = one
        self._tokens[one.priority] += one.tokens

    def _remove(self, one: Waiting) -> None:
        line = self._lines[one.priority]
        del line[next(i for i, (_, _, other) in enumerate(line) if other is one)]
        del self._by_key[one.key]
        self._tokens[one.priority] -= one.tokens
