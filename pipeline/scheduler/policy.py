"""Who does what: a state machine. Events in, commands out; no clock, no Ray, no I/O.

Workers are given splits a few seconds ahead. Each gets the largest one that it can finish before the whole is expected to
end, so that large ones go first, slow workers get small ones, and all end together; of those of about one size, one whose data
lies where the worker is. When nothing is left that a worker could finish in time, it takes a copy of what will end last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.scheduler.capacity import FAST, Capacity
from pipeline.scheduler.events import (
    Arrived,
    Command,
    Draining,
    Event,
    Failed,
    Finished,
    Kill,
    Lease,
    Stopped,
    Tick,
    WorkerJoined,
    WorkerVanished,
)
from pipeline.scheduler.speeds import LATE, UNKNOWN_S, ActiveLease, Worker
from pipeline.scheduler.split_table import SplitTable
from pipeline.scheduler.stragglers import Stragglers
from pipeline.scheduler.timer_queue import TimerQueue
from pipeline.scheduler.worker_registry import WorkerRegistry

# A worker is given more when it has less than so many seconds of work left, of at most so many splits.
AHEAD_S, AHEAD = 2.0, 64
# While workers start, or are of unknown speed, nobody gets a split of more seconds than this, and so many for each second
# that the run has lasted: a slow worker shall not get a large one before it is known how slow it is.
FIRST_S, GROWTH = 2.0, 0.5
# No two looks at a worker are nearer to each other; who has nothing to do asks again after so many seconds; the sums over
# all workers are added up anew after so many.
SOON_S, IDLE_S, ADD_UP_S = 0.05, 0.5, 300.0
EVERYBODY = -1


class Policy:
    """Every split that arrives ends finished or given up, once, if workers can be had.

    Args:
        starting: Numbers of the workers that are being started.
        ahead_s: Seconds of work that each worker is to have ahead.
    """

    def __init__(self, starting: Iterable[int] = (), ahead_s: float = AHEAD_S) -> None:
        self._ahead_s = ahead_s
        self.splits, self.registry, self.capacity = SplitTable(), WorkerRegistry(starting), Capacity()
        self.copies = 0
        self._stragglers = Stragglers(self.splits.holders)
        self._idle: dict[int, Worker] = {}
        self._due = TimerQueue()
        self._looking = False  # whether a Tick for the hungry is due
        self._next = 0
        self._began = self._added_up = 0.0

    @property
    def over(self) -> bool:
        """Whether every split has ended. Leases that were called back may still run."""
        return self.splits.finished + len(self.splits.given_up) == self.splits.arrived

    @property
    def wake(self) -> float | None:
        """When a Tick is due; None if nothing happens by itself."""
        return self._due.next

    def hire(self) -> int:
        """Return the number of one more worker, which is to be started now."""
        return self.registry.hire()

    def view(self) -> dict[str, Any]:
        """Return what people want to see: numbers of workers, leases and splits, and speeds in predicted tokens/s."""
        speeds = [worker.speed for worker in self.registry.workers.values() if worker.speed]
        return {
            "workers": len(self.registry.workers),
            "starting": len(self.registry.starting),
            "idle": len(self._idle),
            "leases": len(self.splits.leases),
            "parts_begun": len(self.splits.holders),
            "waiting": self.splits.waiting.count,
            "copies": self.copies,
            "near": self.splits.near,
            "speed": round(sum(speeds)),
            "slowest": round(min(speeds, default=0)),
            "fastest": round(max(speeds, default=0)),
        }

    def on(self, event: Event) -> list[Command]:
        """Decide what is to be done now.

        Args:
            event: What has happened. One about a lease or worker that is not known any more changes nothing.

        Returns:
            The commands, in order.
        """
        commands: list[Command] = []
        _HANDLERS[type(event)](self, event, commands)
        return commands

    def _arrived(self, event: Arrived, commands: list[Command]) -> None:
        if not self.splits.arrived:
            self._began = event.now
        self.splits.arrive(event)
        self._feed(event.now, commands)

    def _joined(self, event: WorkerJoined, commands: list[Command]) -> None:
        worker = self.registry.join(event)
        self.capacity.count(worker, event.now)
        # Not at once: of those that come together the fastest shall choose first.
        self._idle[worker.number] = worker
        self._look_at(worker, event.now)

    def _finished(self, event: Finished, commands: list[Command]) -> None:
        lease = self.splits.leases.get(event.lease)
        if lease is None:
            return
        if not lease.isolated:
            self.registry.unknown -= lease.worker.speed is None
            lease.worker.measure(lease.tokens, event.seconds)
        self._take_off(lease, event.now)
        self.splits.finish(lease, commands)
        self._give(lease.worker, event.now, commands)

    def _failed(self, event: Failed, commands: list[Command]) -> None:
        lease = self.splits.leases.get(event.lease)
        if lease is not None:
            self._take_off(lease, event.now)
            self.splits.try_again(lease, event.again, commands)
            self._give(lease.worker, event.now, commands)
            self._feed(event.now, commands)

    def _stopped(self, event: Stopped, commands: list[Command]) -> None:
        lease = self.splits.leases.get(event.lease)
        if lease is not None:
            self.splits.wasted_tokens += lease.tokens
            self._take_off(lease, event.now)
            self.splits.wait_again(lease)
            self._give(lease.worker, event.now, commands)

    def _leaving(self, event: Draining, commands: list[Command]) -> None:
        worker = self.registry.workers.get(event.worker)
        if worker is None or not worker.open:
            return
        worker.open = False
        self._idle.pop(worker.number, None)
        self.capacity.count(worker, event.now)
        for lease in list(worker.held)[1:]:
            if lease.wanted:
                self.splits.call_back(lease, commands)
                self.splits.wait_again(lease)
        self._feed(event.now, commands)

    def _lost(self, event: WorkerVanished, commands: list[Command]) -> None:
        worker = self.registry.workers.get(event.worker)
        if worker is not None:
            self._idle.pop(worker.number, None)
            held = list(worker.held)
            worker.held.clear()
            self.registry.leave(worker)
            self._slower(worker, event.now, gone=True)
            for lease in held:
                self.splits.let_go(lease)
            for lease in held:
                if lease.number == event.over and event.blame:
                    self.splits.isolated.add(lease.split)
                    self.splits.try_again(lease, True, commands)
                else:
                    self.splits.wait_again(lease)
        commands += self.registry.replace(event.worker, event.blame, worker is not None)
        self._feed(event.now, commands)

    def _tick(self, event: Tick, commands: list[Command]) -> None:
        now = event.now
        for at, number in self._due.until(now):
            worker = self.registry.workers.get(number)
            if worker is not None and worker.watched == at:
                worker.watched = None
                if worker.due > now + SOON_S / 2:  # since then it has begun another lease
                    self._look_at(worker, worker.due)
                    continue
                if worker.held:
                    self._look(worker, now, commands)
                    self._give(worker, now, commands)
        self._looking = False
        if self._idle:
            self._stragglers.renew(now)
        if now >= self._added_up + ADD_UP_S:
            self._added_up = now
            self.capacity.again(self.registry.workers.values(), now)
        self._feed(now, commands)

    def _look(self, worker: Worker, now: float, commands: list[Command]) -> None:
        """See whether a worker is late, holds up the whole, or hangs."""
        unknown = worker.speed is None
        if worker.late(now):
            self.registry.unknown -= unknown
            self._slower(worker, now)
        if worker.slowed:
            if worker.finish_of(worker.held[0], now) > self.capacity.end(self.splits.waiting.tokens, now):
                self._stragglers.holds_up(worker.held[0].split)
            if worker.hangs(now):
                commands.append(Kill(worker.number))

    def _take_off(self, lease: ActiveLease, now: float) -> None:
        """A lease is over; its worker goes on with the next one that it has."""
        worker = lease.worker
        if worker.held[0] is lease:
            del worker.held[0]
            worker.began = now
        else:
            worker.held.remove(lease)
        worker.load -= lease.tokens
        self.splits.let_go(lease)
        self.capacity.count(worker, now)

    def _slower(self, worker: Worker, now: float, gone: bool = False) -> None:
        """A worker is late or gone; if it was the fastest, another one is now."""
        fastest = worker.counted >= self.capacity.fastest
        self.capacity.forget(worker)
        if fastest:
            self.capacity.again(self.registry.workers.values(), now)
        elif not gone:
            self.capacity.count(worker, now)

    def _feed(self, now: float, commands: list[Command]) -> None:
        """Whoever had nothing to do asks again, the fastest first; what that one may not take no other may."""
        if self._idle:
            for worker in sorted(self._idle.values(), key=lambda one: (one.speed is not None, -one.counted)):
                self._give(worker, now, commands)
                if not worker.held and worker.speed is not None:
                    break

    def _give(self, worker: Worker, now: float, commands: list[Command]) -> None:
        """Leases until the worker has some seconds of work, or nothing is left that it should take."""
        held = worker.held
        while worker.open:
            if held and (worker.speed is None or len(held) >= AHEAD or worker.free_at - now > self._ahead_s):
                break
            lease = self._choose(worker, now)
            if lease is None:
                break
            self._next += 1
            if not held:
                worker.began = now
            held.append(lease)
            worker.load += lease.tokens
            self.splits.begin(lease)
            self.capacity.give(worker, now)
            commands.append(Lease(lease.number, worker.number, lease.split, lease.isolated, lease.copy))
        if held:
            self._idle.pop(worker.number, None)
            self._watch(worker, now)
        elif worker.open:
            self._idle[worker.number] = worker
            if self.splits.leases and not self._looking:
                self._looking = True
                self._due.add(now + IDLE_S, EVERYBODY)

    def _choose(self, worker: Worker, now: float) -> ActiveLease | None:
        splits, speed = self.splits, worker.speed
        uncertain = bool(self.registry.unknown or self.registry.starting)
        if self._stragglers.holding_up and worker.counted >= FAST * self.capacity.fastest:
            late = self._stragglers.next_holding_up(worker, now)
            if late is not None:
                return self._copy(worker, late)
        for before, sizes in splits.waiting.groups():
            most = self.capacity.most(worker, before, sizes, now) if splits.leases else math.inf
            if speed is None:
                most = None
            elif uncertain and most is not None:
                first = speed * (FIRST_S + GROWTH * (now - self._began))
                # Rather the smallest than nothing.
                most = min(most, first) if worker.held or first >= sizes.least else None
            while (found := splits.waiting.take(sizes, most, worker.home)) is not None:
                split, tokens = found
                if not splits.done(split):
                    return ActiveLease(self._next, worker, split, tokens, sizes.rank, split in splits.isolated, False)
        if worker.held:
            return None
        late = self._stragglers.worth_a_copy(worker, self.capacity.fastest, now)
        if late is None:
            return None
        return self._copy(worker, late)

    def _copy(self, worker: Worker, late: ActiveLease) -> ActiveLease:
        self.copies += 1
        return ActiveLease(self._next, worker, late.split, late.tokens, late.rank, late.isolated, True)

    def _watch(self, worker: Worker, now: float) -> None:
        """Have a Tick when the worker may be given more, or is late."""
        if worker.speed is None:
            at = now + UNKNOWN_S
        elif worker.slowed:
            at = now + max(0.5, (LATE - 1) * (now - worker.began))
        else:
            at = worker.began + LATE * worker.held[0].tokens / worker.speed
            more = worker.free_at - self._ahead_s
            if now < more < at:
                at = more
        self._look_at(worker, max(at, now + SOON_S))

    def _look_at(self, worker: Worker, at: float) -> None:
        worker.due = at
        # Half of what it has ahead is early enough; every Tick costs.
        if worker.watched is None or at < worker.watched - 0.5 * self._ahead_s:
            worker.watched = self._due.add(at, worker.number)


_HANDLERS: dict[type, Callable[[Policy, Any, list[Command]], None]] = {
    Arrived: Policy._arrived, WorkerJoined: Policy._joined, Finished: Policy._finished, Failed: Policy._failed,
    Stopped: Policy._stopped, Draining: Policy._leaving, WorkerVanished: Policy._lost, Tick: Policy._tick,
}  # fmt: skip
