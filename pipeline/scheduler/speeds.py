"""How fast a worker is, in predicted tokens a second, and when it will be done with what it has."""

from __future__ import annotations

from dataclasses import dataclass, field

# Work of so many seconds ago counts e times less.
MEMORY_S = 60.0
# What is known of a worker's kind counts as so many seconds of its own work.
KNOWN_S = 2.0
# A lease that takes so many times what was predicted is late; that of a worker of unknown speed after so many seconds.
LATE, UNKNOWN_S = 1.25, 10.0
# What is late is expected to take so many times what it has taken, from then on.
STILL = 0.5
# A worker hangs if a lease takes so many times what was predicted, and so many seconds more.
HANG, HANG_S = 10.0, 300.0


@dataclass(slots=True, eq=False)
class ActiveLease:
    """A lease that has not ended.

    Attributes:
        tokens: Predicted tokens of its split.
        isolated: Whether the model runs in a process of its own, as somebody has died over the split.
        copy: Whether it is a speculative copy of another lease.
        wanted: False once it was called back.
    """

    number: int
    worker: Worker
    split: int
    tokens: int
    rank: float
    isolated: bool
    copy: bool
    wanted: bool = True


@dataclass(slots=True, eq=False)
class Worker:
    """A worker and the leases that it has, the first of which it works on since `began`.

    Attributes:
        speed: Predicted tokens/s; None until the first lease has ended, where nothing is known of its kind.
        open: Whether it takes leases.
        measured: Whether a lease of it has ended.
        slowed: Whether its first lease is late.
        home: Number of its machine, None where that is not known.
    """

    number: int
    speed: float | None = None
    open: bool = True
    measured: bool = False
    held: list[ActiveLease] = field(default_factory=list)  # few; a list is a tenth of a deque
    began: float = 0.0
    load: int = 0  # tokens of all leases held
    free_at: float = 0.0
    slowed: bool = False
    dismissed: bool = False
    home: int | None = None
    idle: bool = True
    due: float = 0.0  # when to look at it again
    watched: float | None = None  # when the next Tick about it comes, at that time or before
    counted: float = 0.0  # the speed with which it stands in the sums of the whole
    moment: float = 0.0  # counted * free_at while it works
    _tokens: float = 0.0
    _seconds: float = 0.0

    def expect(self, speed: float) -> None:
        """Begin with what is known of the worker's kind.

        Args:
            speed: Predicted tokens/s.
        """
        self.speed, self._tokens, self._seconds = speed, speed * KNOWN_S, KNOWN_S

    def measure(self, tokens: int, seconds: float) -> None:
        """Learn from a lease that has ended: tokens over seconds of the last minutes, old ones counting less.

        Args:
            tokens: Predicted tokens of its split.
            seconds: Time it took.
        """
        keep = max(0.0, 1.0 - seconds / MEMORY_S)
        self._tokens = self._tokens * keep + tokens
        self._seconds = self._seconds * keep + max(seconds, 1e-6)
        self.speed = self._tokens / self._seconds
        self.measured, self.slowed = True, False

    def finish_of(self, lease: ActiveLease, now: float) -> float:
        """Predict when a lease will end, by what is known now; what is late will take half as long again.

        Args:
            lease: One that the worker holds.
            now: Time, seconds.

        Returns:
            The time, seconds.
        """
        spent = now - self.began
        if self.speed is None:
            return now + spent
        first, tokens = self.held[0].tokens, 0
        for held in self.held:
            tokens += held.tokens
            if held is lease:
                break
        left = first / self.speed - spent
        if self.slowed or left < 0:
            left = max(left, STILL * spent)
        return now + left + (tokens - first) / self.speed

    def late(self, now: float) -> bool:
        """Learn that the first lease is not done yet: the worker is at most as fast as that says.

        Args:
            now: Time, seconds.

        Returns:
            Whether the lease is late.
        """
        if not self.held:
            return False
        spent, tokens = now - self.began, self.held[0].tokens
        if spent <= (UNKNOWN_S if self.speed is None else LATE * tokens / self.speed):
            return False
        self.speed = tokens / (spent * (1 + STILL))
        self.slowed = True
        return True

    def hangs(self, now: float) -> bool:
        """Whether it has been at its first lease so long that it is not merely slow; True once.

        Args:
            now: Time, seconds.
        """
        if not self.held or self.dismissed:
            return False
        predicted = self.held[0].tokens * self._seconds / self._tokens if self._tokens else 0.0
        self.dismissed = now - self.began > HANG_S + HANG * predicted
        return self.dismissed
