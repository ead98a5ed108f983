"""A pool of workers in memory, in simulated time, for tests of whatever drives a pool.

What happens, when it is heard of and in which order is drawn from a seed, so that a failure can be replayed.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from pipeline.contract import Fragment, PartResult, Split
from pipeline.errors import InputChangedError, UnavailableError, WorkerLostError
from pipeline.fleet.driver import LeaseResult, News, WorkerDraining, WorkerLost, WorkerPool, WorkerReady
from pipeline.scheduler.events import Lease
from pipeline.scheduler.worker_registry import START_BUDGET


def split(number: int, tokens: int = 500) -> Split:
    """Return a split of one file of one row that is predicted to have so many tokens.

    Args:
        number: Of the split; its file is NUMBER.jsonl.
        tokens: Predicted tokens.
    """
    return Split(1, number, (Fragment(f"{number}.jsonl", "jsonl", 0, 1, 1, 0, tokens),))


def part_result(of: Split) -> PartResult:
    """Return what a worker says of a split that it has done.

    Args:
        of: The split.
    """
    return PartResult(of.name, "attempt", 1, 0, 0, of.tokens, "", {}, {})


@dataclass
class SimulatedWorker:
    """A worker as it is, whatever has been heard of it.

    Attributes:
        speed: Tokens/s.
        up: Whether it has been ready.
        dead: Whether it has died.
        told_gone: Whether the driver has heard that it died.
        queue: The leases and splits that have reached it; it is at the first.
        epoch: Counts what it has begun, so that what was to happen to an earlier split does not happen to a later one.
        unwanted: Numbers of the leases that were called back.
    """

    speed: float
    up: bool = False
    dead: bool = False
    told_gone: bool = False
    queue: deque[tuple[Lease, Split]] = field(default_factory=deque)
    epoch: int = 0
    unwanted: set[int] = field(default_factory=set)


class SimulatedPool(WorkerPool):
    """A WorkerPool all of whose events are heard late, in batches, and in any order.

    Of one worker too: its WorkerLost may be heard before its last results. It raises AssertionError when it is asked for what
    makes no sense, or waited for when nothing can happen any more.

    Args:
        seed: Draws workers, their speeds, delays, failures and deaths.

    Attributes:
        now: Simulated time, seconds.
        workers: All workers that were ever started, by number.
        poisonous: Numbers of splits that kill a worker that does not isolate them; set by the test.
        died_over: Numbers of splits over which workers have died.
        counts: How often each kind of event has happened.
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
        self.workers: dict[int, SimulatedWorker] = {}
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
        """Let something happen later.

        Args:
            seconds: From now, simulated.
            kind: Name of the method that does it, without its underscore.
            what: Its argument.
        """
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + seconds, self._sequence, kind, what))

    def tell(self, news: News) -> None:
        """Let the driver hear of an event, later, and not in the order in which events happened.

        Args:
            news: The event.
        """
        self._sequence += 1
        late = self.random.expovariate(1 / self._late_s) if self._late_s else 0.0
        heapq.heappush(self._news, (self.now + late, self._sequence, news))
        self.counts[type(news).__name__] += 1

    # What the driver asks of it.

    @override
    def start(self, worker: int) -> None:
        assert worker not in self.workers
        self.workers[worker] = SimulatedWorker(self.random.choice([50.0, 100.0, 1000.0]))
        self.at(self.random.uniform(0, 10), "up", worker)

    @override
    def begin(self, lease: Lease, split: Split) -> None:
        state = self.workers[lease.worker]
        assert not state.told_gone, "a lease for a worker that was told as gone"
        assert not lease.isolated or lease.split in self.died_over, "care for what nobody died over"
        self.at(self.random.uniform(0, 0.2), "reach", (lease, split))

    @override
    def call_back(self, lease: int, worker: int) -> None:
        self.at(self.random.uniform(0, 0.5), "call_back", (lease, worker))

    @override
    def dismiss(self, worker: int) -> None:
        self.counts["dismissed"] += 1
        self._die(worker, True, hung=True)

    @override
    def room(self) -> int:
        if self._more and self.random.random() < 0.1:
            self._more -= 1
            self.counts["hired"] += 1
            return 1
        return 0

    @override
    def wait(self, seconds: float | None) -> list[News]:
        for news in self._heard:
            if isinstance(news, WorkerLost):
                self.workers[news.worker].told_gone = True
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
        state = self.workers[worker]
        if state.dead:
            return
        if self._refusals and self.random.random() < 0.3:
            self._refusals -= 1
            self._die(worker, self.random.random() < 0.5)
            return
        state.up = True
        self.tell(WorkerReady(worker, self.random.choice([None, state.speed]), self.random.choice([(), ("a",), ("b",)])))
        if self._death_rate:
            self.at(self.random.expovariate(self._death_rate), "fall", worker)
        if self.random.random() < 0.1:
            self.at(self.random.uniform(0, 30), "leave", worker)

    def _reach(self, what: tuple[Lease, Split]) -> None:
        state = self.workers[what[0].worker]
        if not state.dead:
            state.queue.append(what)
            if len(state.queue) == 1:
                self._next(what[0].worker)

    def _next(self, worker: int) -> None:
        """It begins with the first that it has."""
        state = self.workers[worker]
        state.epoch += 1
        if not state.queue:
            return
        lease, what = state.queue[0]
        if lease.number in state.unwanted:
            self.at(0.01, "stopped", (worker, state.epoch))
        elif lease.split in self.poisonous and not lease.isolated and self._deaths:
            self.at(self.random.uniform(0, 5), "poisoned", (worker, state.epoch))
        elif self._deaths and self.random.random() < self._hangs:
            self._deaths -= 1  # until it is dismissed
        else:
            self.at(what.tokens / state.speed * self.random.lognormvariate(0, 0.5), "end", (worker, state.epoch))

    def _current(self, what: tuple[int, int]) -> SimulatedWorker | None:
        state = self.workers[what[0]]
        return None if state.dead or state.epoch != what[1] else state

    def _end(self, what: tuple[int, int]) -> None:
        if (state := self._current(what)) is None:
            return
        lease, of = state.queue.popleft()
        error: Exception | None = None
        if self.random.random() < self._failures:
            transient, changed = OSError(5, "Input/output error"), InputChangedError("a", "changed")
            error = self.random.choice([MemoryError(), UnavailableError("a", "away"), transient, changed])
        self.tell(LeaseResult(lease, 1.0, None if error else part_result(of), error))
        self._next(what[0])

    def _stopped(self, what: tuple[int, int]) -> None:
        if (state := self._current(what)) is not None:
            self.tell(LeaseResult(state.queue.popleft()[0], 0.1))
            self._next(what[0])

    def _call_back(self, what: tuple[int, int]) -> None:
        lease, worker = what
        state = self.workers[worker]
        if state.dead:
            return
        state.unwanted.add(lease)
        if state.queue and state.queue[0][0].number == lease and self.random.random() < 0.8:  # else it is too late
            state.epoch += 1
            self.at(0.05, "stopped", (worker, state.epoch))

    def _leave(self, worker: int) -> None:
        if not self.workers[worker].dead:
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
        state = self.workers[worker]
        if state.dead:
            return
        state.dead = True
        over = state.queue[0][0] if state.queue else None
        blame = blame and (not state.up or hung or self._deaths > 0)
        self._deaths -= blame and state.up and not hung
        if over is not None and blame:
            self.died_over.add(over.split)
        self.tell(WorkerLost(worker, WorkerLostError(f"worker {worker} died"), blame, over))
        state.queue.clear()
        if self.random.random() < 0.1:  # heard of twice
            self.tell(WorkerLost(worker, WorkerLostError(f"worker {worker} died"), blame, over))
