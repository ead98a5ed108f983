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
    """A worker has published a split, or found it published."""

    worker: int
    split: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A worker could not do a split; `again` says whether another try may help."""

    worker: int
    split: str
    again: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker has died."""

    worker: int


@dataclass(frozen=True, slots=True)
class Lease:
    """Command: this worker does this split."""

    worker: int
    split: str


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

    def __init__(self, splits: Iterable[tuple[str, int]], workers: int = 1) -> None:
        """`splits`: name and predicted tokens of each, in order."""
        given = list(splits)
        if workers > 1:
            given.sort(key=lambda one: -one[1])
        self._waiting = deque(name for name, _ in given)
        self._leased: dict[int, str] = {}
        self._idle: deque[int] = deque()
        self._failures: Counter[str] = Counter()
        self.finished: set[str] = set()
        self.given_up: set[str] = set()

    @property
    def over(self) -> bool:
        """Whether nothing waits and nothing is being done."""
        return not self._waiting and not self._leased

    def on(self, event: Event) -> list[Command]:
        """What is to be done now. An event about a lease that is no longer held changes nothing."""
        commands: list[Command] = []
        if isinstance(event, Ready):
            if event.worker not in self._leased and event.worker not in self._idle:
                self._idle.append(event.worker)
        elif isinstance(event, Lost):
            split = self._leased.pop(event.worker, None)
            if event.worker in self._idle:
                self._idle.remove(event.worker)
            if split is not None:
                commands += self._failed(split, again=True)
            if not self.over:
                commands.append(Replace(event.worker))
        elif self._leased.get(event.worker) == event.split:
            del self._leased[event.worker]
            if isinstance(event, Finished):
                self.finished.add(event.split)
            else:
                commands += self._failed(event.split, event.again)
        while self._idle and self._waiting:
            worker, split = self._idle.popleft(), self._waiting.popleft()
            self._leased[worker] = split
            commands.append(Lease(worker, split))
        return commands

    def _failed(self, split: str, again: bool) -> list[Command]:
        self._failures[split] += 1
        if again and self._failures[split] <= MAX_LOSSES:
            self._waiting.appendleft(split)
            return []
        self.given_up.add(split)
        return [GiveUp(split)]
