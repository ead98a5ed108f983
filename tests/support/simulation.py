"""Workers that are not there: the real policy, in simulated time, with deaths, stragglers and noise from a seed."""

from __future__ import annotations

import gc
import heapq
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from pipeline.scheduler.events import (
    Arrived,
    Draining,
    EndRun,
    Event,
    Failed,
    Finished,
    GiveUp,
    Lease,
    Replace,
    Revoke,
    Stopped,
    Tick,
    WorkerJoined,
    WorkerVanished,
)
from pipeline.scheduler.policy import Policy


@dataclass
class Machine:
    """A worker as it is: tokens/s, what it has to do, and when its present lease ends."""

    speed: float
    queue: deque[Lease] = field(default_factory=deque)
    began: float = 0.0
    epoch: int = 0
    up: bool = True


@dataclass
class Faults:
    """Rates are per worker and second of simulated time; shares are of leases."""

    deaths: float = 0.0
    taken: float = 0.0  # taken away with a notice before
    notice_s: float = 5.0
    slow: float = 0.0  # share of leases that take `slow_times` as long
    slow_times: float = 10.0
    fail: float = 0.0  # share of leases that fail and may be tried again
    noise: float = 0.1  # standard deviation of the logarithm of a lease's time
    poison: frozenset[int] = frozenset()  # splits that kill whoever does not handle them with care
    start_s: float = 0.0
    no_start: float = 0.0  # share of the workers that die before they have loaded the model
    call_back_s: float = 0.05


@dataclass
class Report:
    """What a simulation came to."""

    makespan: float = 0.0
    leases: int = 0
    copies: int = 0
    wasted_tokens: int = 0
    twice: int = 0
    order: list[int] = field(default_factory=list)
    ends: dict[int, float] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)
    ended: str = ""


class Simulation:
    """`speeds` are those of the workers at the beginning; `known` tells the policy roughly what they are. Workers and splits
    are spread over so many `places`, one split in ten lies nowhere; 0 tells nothing of places."""

    def __init__(
        self, speeds: list[float], faults: Faults, seed: int, known: bool = False, tick_s: float = 0.5, places: int = 0
    ) -> None:
        self.places = places
        self.random = random.Random(seed)
        self.faults, self.known, self.tick_s = faults, known, tick_s
        self._first = len(speeds)
        self.policy = Policy(range(self._first))
        self.machines: dict[int, Machine] = {}
        self.report = Report()
        self.now = 0.0
        self.tokens: dict[int, int] = {}
        self._speed_of = dict(enumerate(speeds))
        self._heap: list[tuple[float, int, str, object]] = []
        self.events: list[Event] = []
        self._sequence = 0
        self._coming = 0
        self._ticked = 0.0
        for number in range(len(speeds)):
            self.at(faults.start_s, "start", number)

    def join(self, when: float, number: int, speed: float) -> None:
        """Let one more worker come up."""
        self._speed_of[number] = speed
        self.at(when, "start", number)

    def at(self, when: float, kind: str, what: Any) -> None:
        """Let something happen: "start" a worker, "arrive" (splits, priority), or "lose" one with or without blame."""
        self._sequence += 1
        self._coming += kind == "arrive"
        heapq.heappush(self._heap, (when, self._sequence, kind, what))

    def run(self) -> Report:
        """Until every split has ended or the policy gives up; raises AssertionError if nothing can happen any more."""
        while self._heap or self.policy.wake is not None:
            if self.report.ended or (self.policy.over and not self._coming):
                break
            wake = self.policy.wake
            tick = None if wake is None else max(wake, self._ticked + self.tick_s)
            if tick is not None and (not self._heap or tick < self._heap[0][0]):
                self.now = self._ticked = tick
                self.tell(Tick(tick))
                continue
            self.now, _, kind, what = heapq.heappop(self._heap)
            getattr(self, f"_{kind}")(what)
        assert self.policy.over or self.report.ended, "work waits and nothing happens"
        self.report.makespan = self.now
        self.report.copies, self.report.wasted_tokens = self.policy.copies, self.policy.splits.wasted_tokens
        return self.report

    def policy_s(self) -> float:
        """What the policy alone takes for all that was told to it, in seconds of this thread's time: it is told again.

        Without the garbage collector, as timeit measures: most of what it would look through is the simulation's.
        """
        policy = Policy(range(self._first))
        gc.disable()
        began = time.thread_time()
        for event in self.events:
            policy.on(event)
        spent = time.thread_time() - began
        gc.enable()
        assert policy.view() == self.policy.view()
        return spent

    def tell(self, event: Any) -> None:
        self.events.append(event)
        commands = self.policy.on(event)
        for command in commands:
            if isinstance(command, Lease):
                self._lease(command)
            elif isinstance(command, Revoke):
                self._call_back(command)
            elif isinstance(command, Replace):
                self._speed_of[command.by] = self._speed_of[command.worker]
                self.at(self.now + self.faults.start_s, "start", command.by)
            elif isinstance(command, GiveUp):
                assert command.split not in self.report.given_up
                self.report.given_up.add(command.split)
            elif isinstance(command, EndRun):
                self.report.ended = command.reason

    def _lease(self, lease: Lease) -> None:
        self.report.leases += 1
        machine = self.machines[lease.worker]
        assert machine.up
        assert lease.split not in self.report.ends, "a lease for what is done"
        machine.queue.append(lease)
        if len(machine.queue) == 1:
            self._begin(lease.worker)

    def _begin(self, number: int) -> None:
        machine, faults = self.machines[number], self.faults
        lease = machine.queue[0]
        machine.began = self.now
        machine.epoch += 1
        seconds = self.tokens[lease.split] / machine.speed * self.random.lognormvariate(0.0, faults.noise)
        if faults.slow and self.random.random() < faults.slow:
            seconds *= faults.slow_times
        kind = "finish"
        if faults.fail and self.random.random() < faults.fail:
            kind, seconds = "fail", seconds * self.random.random()
        if lease.split in faults.poison and not lease.isolated:
            kind, seconds = "die", seconds * self.random.random()
        self.at(self.now + seconds, kind, (number, machine.epoch))

    def _next(self, number: int) -> None:
        machine = self.machines[number]
        machine.queue.popleft()
        machine.epoch += 1
        if machine.queue:
            self._begin(number)

    def _current(self, what: Any) -> tuple[int, Machine] | None:
        number, epoch = what
        machine = self.machines[number]
        return (number, machine) if machine.up and machine.epoch == epoch else None

    def _finish(self, what: Any) -> None:
        if (current := self._current(what)) is not None:
            number, machine = current
            lease, spent = machine.queue[0], self.now - machine.began
            if lease.split not in self.report.ends:
                self.report.ends[lease.split] = self.now
                self.report.order.append(lease.split)
            else:
                self.report.twice += 1  # as a part that another attempt has published: dropped
            self._next(number)
            self.tell(Finished(self.now, lease.number, spent))

    def _fail(self, what: Any) -> None:
        if (current := self._current(what)) is not None:
            lease = current[1].queue[0]
            self._next(current[0])
            self.tell(Failed(self.now, lease.number, again=True))

    def _die(self, what: Any) -> None:
        if (current := self._current(what)) is not None:
            self._lose((current[0], True))

    def _lose(self, what: Any) -> None:
        number, blame = what
        machine = self.machines.get(number)
        if machine is not None and machine.up:
            machine.up = False
            over = machine.queue[0].number if machine.queue else None
            machine.queue.clear()
            self.tell(WorkerVanished(self.now, number, blame, over))

    def _take(self, number: Any) -> None:
        """A worker gets notice, and goes."""
        if self.machines[number].up:
            self.tell(Draining(self.now, number))
            self.at(self.now + self.faults.notice_s, "lose", (number, False))

    def _call_back(self, command: Revoke) -> None:
        machine = self.machines[command.worker]
        if machine.queue and machine.queue[0].number == command.lease:
            self.at(self.now + self.faults.call_back_s, "stop", (command.worker, machine.epoch))
        else:
            for lease in list(machine.queue):
                if lease.number == command.lease:
                    machine.queue.remove(lease)
                    self.at(self.now, "stopped", command.lease)

    def _stop(self, what: Any) -> None:
        if (current := self._current(what)) is not None:
            lease = current[1].queue[0]
            self._next(current[0])
            self.tell(Stopped(self.now, lease.number))

    def _stopped(self, lease: Any) -> None:
        self.tell(Stopped(self.now, lease))

    def _start(self, number: Any) -> None:
        faults, speed = self.faults, self._speed_of[number]
        if self.random.random() < faults.no_start:
            self.tell(WorkerVanished(self.now, number))
            return
        self.machines[number] = Machine(speed)
        for rate, kind, what in ((faults.deaths, "lose", (number, True)), (faults.taken, "take", number)):
            if rate:
                self.at(self.now + self.random.expovariate(rate), kind, what)
        told = speed * self.random.lognormvariate(0.0, 0.3) if self.known else None
        self.tell(WorkerJoined(self.now, number, told, number % self.places if self.places else None))

    def _arrive(self, what: Any) -> None:
        splits, priority = what
        self._coming -= 1
        self.tokens.update(splits)
        homes = {split: split % self.places for split, _ in splits if split % 10} if self.places else {}
        self.tell(Arrived(self.now, tuple(splits), priority, homes=homes))
