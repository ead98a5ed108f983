"""A pool of workers in memory for the whole loop of `drive`, in simulated time: what happens, when it is heard and in which order
is drawn from a seed.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from pipeline.contract import Fragment, PartResult, Split
from pipeline.errors import InputChangedError, UnavailableError, WorkerLostError
from pipeline.fleet.driver import LeaseResult, News, WorkerDraining, WorkerLost, WorkerReady
from pipeline.scheduler.events import Lease
from pipeline.scheduler.worker_registry import START_BUDGET


def split(number, tokens=500):
    """A split that is predicted to have so many tokens."""
    return Split(1, number, (Fragment(f"{number}.jsonl", "jsonl", 0, 1, 1, 0, tokens),))


def done(of):
    return PartResult(of.name, "attempt", 1, 0, 0, of.tokens, "", {}, {})


@dataclass
class Person:
    """A worker as it is, whatever has been heard of it; `queue` is what has reached it, it is at the first."""

    speed: float
    up: bool = False
    dead: bool = False
    told_gone: bool = False
    queue: deque[tuple[Lease, Split]] = field(default_factory=deque)
    epoch: int = 0
    unwanted: set[int] = field(default_factory=set)


class Pool:
    """Is a WorkerPool. Everything is heard late, in batches, and in any order, of one worker too: its WorkerLost before its
    last answers.

    It raises AssertionError if it is told what makes no sense, or if nothing can happen any more while it is waited for.
    """

    up_at = None

    def __init__(self, seed: int) -> None:
        draw = self.random = random.Random(seed)
        self.size = draw.randint(1, 5)
        self.ahead_s = draw.choice([0.5, 2.0, 10.0])
        self.now = 0.0
        self._heap: list[tuple[float, int, str, Any]] = []
        self._news: list[tuple[float, int, News]] = []
        self._heard: list[News] = []
        self._sequence = 0
        self.people: dict[int, Person] = {}
        self.died_over: set[int] = set()
        self.counts: Counter[str] = Counter()
        self._late_s = draw.choice([0.0, 0.05, 1.0, 20.0])
        self._batch_s = draw.choice([0.0, 0.5, 5.0])
        self._death_rate = draw.choice([0.0, 0.01, 0.05])
        self._failures = draw.choice([0.0, 0.05, 0.2])
        self._hangs = draw.choice([0.0, 0.0, 0.01])
        self._poison = draw.choice([0.0, 0.0, 0.05])
        self.poisonous: set[int] = set()
        # So many workers may die by themselves, and still another comes in their place; one whose WorkerLost is heard before its
        # WorkerReady counts as one that could not start.
        self._refusals = draw.randint(0, START_BUDGET)
        self._deaths = START_BUDGET + 1 - self._refusals
        self._more = draw.choice([0, 0, 3])

    def at(self, seconds: float, kind: str, what: Any) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + seconds, self._sequence, kind, what))

    def tell(self, news: News) -> None:
        """It is heard later, and not in the order in which it happened."""
        self._sequence += 1
        late = self.random.expovariate(1 / self._late_s) if self._late_s else 0.0
        heapq.heappush(self._news, (self.now + late, self._sequence, news))
        self.counts[type(news).__name__] += 1

    # What is told to the pool.

    def start(self, worker: int) -> None:
        assert worker not in self.people
        self.people[worker] = Person(self.random.choice([50.0, 100.0, 1000.0]))
        self.at(self.random.uniform(0, 10), "up", worker)

    def begin(self, lease: Lease, what: Split) -> None:
        person = self.people[lease.worker]
        assert not person.told_gone, "a lease for a worker that was told as gone"
        assert not lease.careful or lease.split in self.died_over, "care for what nobody died over"
        self.at(self.random.uniform(0, 0.2), "reach", (lease, what))

    def call_back(self, lease: int, worker: int) -> None:
        self.at(self.random.uniform(0, 0.5), "call_back", (lease, worker))

    def dismiss(self, worker: int) -> None:
        self.counts["dismissed"] += 1
        self._die(worker, True, hung=True)

    def room(self) -> int:
        if self._more and self.random.random() < 0.1:
            self._more -= 1
            self.counts["hired"] += 1
            return 1
        return 0

    def wait(self, seconds: float | None) -> list[News]:
        for news in self._heard:
            if isinstance(news, WorkerLost):
                self.people[news.worker].told_gone = True
        self._heard = []
        until = math.inf if seconds is None else self.now + seconds
        while not (self._news and self._news[0][0] <= self.now):
            following = min((heap[0][0] for heap in (self._heap, self._news) if heap), default=math.inf)
            if following > until:
                self.now = until
                return []
            assert following < math.inf, "work waits and nothing happens"
            self.now = following
            self._happen()
        for _ in range(self.random.randint(0, 3)):  # what comes soon after is heard in one breath
            self.now += self.random.uniform(0, self._batch_s)
            self._happen()
        heard = []
        while self._news and self._news[0][0] <= self.now:
            heard.append(heapq.heappop(self._news)[2])
        self.random.shuffle(heard)
        self._heard = heard
        return heard

    # What happens in it.

    def _happen(self) -> None:
        while self._heap and self._heap[0][0] <= self.now:
            _, _, kind, what = heapq.heappop(self._heap)
            getattr(self, f"_{kind}")(what)

    def _up(self, worker: int) -> None:
        person = self.people[worker]
        if person.dead:
            return
        if self._refusals and self.random.random() < 0.3:
            self._refusals -= 1
            self._die(worker, self.random.random() < 0.5)
            return
        person.up = True
        self.tell(WorkerReady(worker, self.random.choice([None, person.speed]), self.random.choice([(), ("a",), ("b",)])))
        if self._death_rate:
            self.at(self.random.expovariate(self._death_rate), "fall", worker)
        if self.random.random() < 0.1:
            self.at(self.random.uniform(0, 30), "leave", worker)

    def _reach(self, what: tuple[Lease, Split]) -> None:
        person = self.people[what[0].worker]
        if not person.dead:
            person.queue.append(what)
            if len(person.queue) == 1:
                self._next(what[0].worker)

    def _next(self, worker: int) -> None:
        """It begins with the first that it has."""
        person = self.people[worker]
        person.epoch += 1
        if not person.queue:
            return
        lease, what = person.queue[0]
        if lease.number in person.unwanted:
            self.at(0.01, "stopped", (worker, person.epoch))
        elif lease.split in self.poisonous and not lease.careful and self._deaths:
            self.at(self.random.uniform(0, 5), "poisoned", (worker, person.epoch))
        elif self._deaths and self.random.random() < self._hangs:
            self._deaths -= 1  # until it is dismissed
        else:
            self.at(what.tokens / person.speed * self.random.lognormvariate(0, 0.5), "end", (worker, person.epoch))

    def _current(self, what: tuple[int, int]) -> Person | None:
        person = self.people[what[0]]
        return None if person.dead or person.epoch != what[1] else person

    def _end(self, what: tuple[int, int]) -> None:
        if (person := self._current(what)) is None:
            return
        lease, of = person.queue.popleft()
        error: Exception | None = None
        if self.random.random() < self._failures:
            transient, changed = OSError(5, "Input/output error"), InputChangedError("a", "changed")
            error = self.random.choice([MemoryError(), UnavailableError("a", "away"), transient, changed])
        self.tell(LeaseResult(lease, 1.0, None if error else done(of), error))
        self._next(what[0])

    def _stopped(self, what: tuple[int, int]) -> None:
        if (person := self._current(what)) is not None:
            self.tell(LeaseResult(person.queue.popleft()[0], 0.1))
            self._next(what[0])

    def _call_back(self, what: tuple[int, int]) -> None:
        lease, worker = what
        person = self.people[worker]
        if person.dead:
            return
        person.unwanted.add(lease)
        if person.queue and person.queue[0][0].number == lease and self.random.random() < 0.8:  # else it is too late
            person.epoch += 1
            self.at(0.05, "stopped", (worker, person.epoch))

    def _leave(self, worker: int) -> None:
        if not self.people[worker].dead:
            self.tell(WorkerDraining(worker))
            self.at(self.random.uniform(0, 20), "taken", worker)

    def _taken(self, worker: int) -> None:
        self._die(worker, False)

    def _poisoned(self, what: tuple[int, int]) -> None:
        if self._current(what) is not None:
            self._die(what[0], True)

    def _fall(self, worker: int) -> None:
        self._die(worker, bool(self._deaths) and self.random.random() < 0.7)

    def _die(self, worker: int, blame: bool, hung: bool = False) -> None:
        person = self.people[worker]
        if person.dead:
            return
        person.dead = True
        over = person.queue[0][0] if person.queue else None
        blame = blame and (not person.up or hung or self._deaths > 0)
        self._deaths -= blame and person.up and not hung
        if over is not None and blame:
            self.died_over.add(over.split)
        self.tell(WorkerLost(worker, WorkerLostError(f"worker {worker} died"), blame, over))
        person.queue.clear()
        if self.random.random() < 0.1:  # heard of twice
            self.tell(WorkerLost(worker, WorkerLostError(f"worker {worker} died"), blame, over))
