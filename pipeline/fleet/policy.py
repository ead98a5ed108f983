"""Who does what: a state machine. Events in, commands out; no clock, no Ray, no I/O."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

# Workers that may die over one split before it is given up.
MAX_LOSSES = 2


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has nothing to do."""

    worker: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A lease has ended with its split published, by this worker or another."""

    lease: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A lease has ended without; `again` says whether another try may help."""

    lease: int
    again: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker has died."""

    worker: int


@dataclass(frozen=True, slots=True)
class Lease:
    """Command: this worker does this split; `careful` if another has died over it. No two leases have one number."""

    number: int
    worker: int
    split: str
    careful: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Command: this split is not tried again in this run."""

    split: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Command: start another worker in this one's place."""

    worker: int


Event = Ready | Finished | Failed | Lost
Command = Lease | GiveUp | Replace


class Policy:
    """Leases splits, large ones first where several workers share them; every split ends finished or given up, once."""

    def __init__(self, splits: Iterable[tuple[str, int]], workers: int = 1, careful: Iterable[str] = ()) -> None:
        """`splits`: name and predicted tokens of each, in order; `careful`: those that an earlier run died over."""
        given = list(splits)
        if workers > 1:
            given.sort(key=lambda one: -one[1])
        self._waiting = deque(name for name, _ in given)
        self._leases: dict[int, Lease] = {}
        self._next = 0
        self._idle: deque[int] = deque()
        self._failures: Counter[str] = Counter()
        self._careful = set(careful)
        self.finished: set[str] = set()
        self.given_up: set[str] = set()

    @property
    def over(self) -> bool:
        """Whether nothing waits and nothing is being done."""
        return not self._waiting and not self._leases

    def on(self, event: Event) -> list[Command]:
        """What is to be done now. An event about a lease that has ended changes nothing."""
        commands: list[Command] = []
        if isinstance(event, Ready):
            if event.worker not in self._idle and all(lease.worker != event.worker for lease in self._leases.values()):
                self._idle.append(event.worker)
        elif isinstance(event, Lost):
            if event.worker in self._idle:
                self._idle.remove(event.worker)
            for number in [n for n, lease in self._leases.items() if lease.worker == event.worker]:
                split = self._leases.pop(number).split
                self._careful.add(split)
                commands += self._failed(split, again=True)
            if not self.over:
                commands.append(Replace(event.worker))
        elif (lease := self._leases.pop(event.lease, None)) is not None:
            if isinstance(event, Finished):
                self.finished.add(lease.split)
            else:
                commands += self._failed(lease.split, event.again)
        while self._idle and self._waiting:
            split = self._waiting.popleft()
            lease = Lease(self._next, self._idle.popleft(), split, split in self._careful)
            self._leases[lease.number] = lease
            self._next += 1
            commands.append(lease)
        return commands

    def _failed(self, split: str, again: bool) -> list[Command]:
        self._failures[split] += 1
        if again and self._failures[split] <= MAX_LOSSES:
            self._waiting.appendleft(split)
            return []
        self.given_up.add(split)
        return [GiveUp(split)]
