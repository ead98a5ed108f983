"""Carry out what the policy decides, on workers of any kind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.contract import PartResult, Split
from pipeline.errors import TRANSIENT, ClaimedError, InputChangedError, NoWorkersError, PipelineError, WorkerLostError
from pipeline.scheduler.events import (
    Arrived,
    Draining,
    EndRun,
    Event,
    Failed,
    Finished,
    Kill,
    Lease,
    Replace,
    Revoke,
    Stopped,
    Tick,
    WorkerJoined,
    WorkerVanished,
)
from pipeline.scheduler.policy import Policy
from pipeline.source.formats import PACKED

# Exit codes of errors: of those that concern one split only (most others that a worker raises end the run), and of settings.
TRY_AGAIN_EXIT, SETTINGS_EXIT = 3, 2
VIEW_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """A worker has loaded its model.

    Attributes:
        speed: Predicted tokens/s, where its kind is known.
        hosts: Names of its machine.
    """

    worker: int
    speed: float | None = None
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeaseResult:
    """What became of a lease: the part, an error, or, if it was called back, neither.

    Attributes:
        seconds: Time of work.
    """

    lease: Lease
    seconds: float
    done: PartResult | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class WorkerDraining:
    """A worker will be taken away."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker is gone; `blame` if it died by itself, and not with its node. `over` is the lease that it was at, if any.

    It is the last that is heard of this worker; what may come later of it is not heard.
    """

    worker: int
    error: Exception
    blame: bool = True
    over: Lease | None = None


News = WorkerReady | LeaseResult | WorkerDraining | WorkerLost


class WorkerPool(Protocol):
    """Workers that are started, told and heard of by number.

    What is told to one that is gone already does nothing: its WorkerLost is on the way, and returns what it had to those that
    wait.

    Attributes:
        size: Workers that are wanted.
        up_at: When the first worker was ready, of time.monotonic(); None before.
        ahead_s: Seconds of work that a worker is to have ahead, for what it takes to reach it.
    """

    size: int
    up_at: float | None  # when the first worker was ready, of time.monotonic
    ahead_s: float  # seconds of work that a worker is to have ahead, for what it takes to reach it

    def start(self, worker: int) -> None:
        """Begin to start a worker.

        Args:
            worker: Number that it is known by from now on.
        """
        ...

    def begin(self, lease: Lease, split: Split) -> None:
        """Let a worker do a split after those that it has.

        Args:
            lease: The lease, which names the worker.
            split: The split.
        """
        ...

    def call_back(self, lease: int, worker: int) -> None:
        """Let a worker leave a split undone, soon.

        Args:
            lease: Number of the lease.
            worker: Number of the worker that has it.
        """
        ...

    def dismiss(self, worker: int) -> None:
        """End a worker that hangs; it is told as WorkerLost.

        Args:
            worker: Number of the worker.
        """
        ...

    def room(self) -> int:
        """Return how many more workers could be started now than there are."""
        ...

    def wait(self, seconds: float | None) -> Sequence[News]:
        """Wait until something happens.

        Args:
            seconds: At most so long; None has no limit.

        Returns:
            What has happened, in any order; nothing if the time is up.

        Raises:
            KeyboardInterrupt: The run is to stop.
            NoWorkersError: No worker can be had.
        """
        ...


# Tells by a split's name the names of the machine on which its data lies, where that is known.
Near = Callable[[Sequence[Split]], Mapping[str, tuple[str, ...]]]


def nowhere(splits: Sequence[Split]) -> Mapping[str, tuple[str, ...]]:
    """Return that nothing is known of where the data lies.

    Args:
        splits: The splits.
    """
    return {}


def drive(
    splits: Iterable[Split],
    pool: WorkerPool,
    finished: Callable[[PartResult], object],
    isolated: Iterable[str] = (),
    priority: Callable[[Split], float] = lambda split: 0.0,
    more: Callable[[], Iterable[Split]] = tuple,
    seen: Callable[[dict[str, Any]], object] = lambda view: None,
    near: Near = nowhere,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Exception]:
    """Get every split done.

    Args:
        splits: The splits.
        pool: The workers; as many are started as it says.
        finished: Hears of each part.
        isolated: Names of the splits that an earlier run died over.
        priority: Of a split; those of a higher one overtake.
        more: Asked often whether splits have come since.
        seen: Hears, at most every VIEW_S and at the end, what `Policy.view` gives, and if workers are idle whether a `packed`
            file is being done.
        near: Tells by a split's name the machine on which its data lies.
        clock: Seconds, as time.monotonic().

    Returns:
        The names of the splits that were given up, with the last error of each.

    Raises:
        PipelineError: What a worker raises if it does not concern its split alone; if no worker can be had, what the last one
            died of if that is the settings' fault.
        NoWorkersError: No worker can be had.
    """
    return _Driver(pool, finished, set(isolated), priority, near, clock).run(splits, more, seen)


class _Driver:
    def __init__(
        self,
        pool: WorkerPool,
        finished: Callable[[PartResult], object],
        isolated: set[str],
        priority: Callable[[Split], float],
        near: Near,
        clock: Callable[[], float],
    ) -> None:
        self._pool, self._tell, self._isolated, self._priority, self._near = pool, finished, isolated, priority, near
        self._homes: dict[str, int] = {}  # a machine's name -> the number of the place
        self._splits: list[Split] = []
        self._policy = Policy(range(pool.size), pool.ahead_s)
        self._clock, self._begun = clock, clock()
        self._errors: dict[int, Exception] = {}
        self._gone: set[int] = set()
        self._last: Exception | None = None

    def run(
        self, splits: Iterable[Split], more: Callable[[], Iterable[Split]], seen: Callable[[dict[str, Any]], object]
    ) -> dict[str, Exception]:
        policy, shown = self._policy, 0.0
        self._arrive(splits)
        for worker in range(self._pool.size):
            self._pool.start(worker)
        while not policy.over:
            heard = self._pool.wait(None if policy.wake is None else max(0.0, policy.wake - self._now()))
            self._arrive(more())  # first, so that what is urgent is leased to whoever is free now
            for news in heard:
                if (event := self._event(news)) is not None:
                    self._obey(event)
            if policy.wake is not None and policy.wake <= (now := self._now()):
                self._obey(Tick(now))
            if self._now() - shown >= VIEW_S:
                shown = self._now()
                seen(self._view())
                for _ in range(self._pool.room()):
                    self._pool.start(policy.hire())
        seen(self._view())
        return {self._splits[number].name: self._errors[number] for number in sorted(policy.splits.given_up)}

    def _arrive(self, splits: Iterable[Split]) -> None:
        by_priority: dict[float, list[tuple[int, int]]] = {}
        isolated, splits = set(), list(splits)
        near = self._near(splits) if splits else {}
        homes: dict[int, int] = {}
        for number, split in enumerate(splits, len(self._splits)):
            self._splits.append(split)
            by_priority.setdefault(self._priority(split), []).append((number, split.tokens))
            if split.name in self._isolated:
                isolated.add(number)
            if split.name in near:
                homes[number] = self._home(near[split.name])
        for priority, tokens in sorted(by_priority.items(), reverse=True):
            self._obey(Arrived(self._now(), tuple(tokens), priority, frozenset(isolated), homes))

    def _home(self, hosts: tuple[str, ...]) -> int:
        """The number of the place that has one of these names, which it has all from now on."""
        known = next((self._homes[host] for host in hosts if host in self._homes), len(self._homes))
        self._homes |= dict.fromkeys(hosts, known)
        return known

    def _now(self) -> float:
        return self._clock() - self._begun

    def _view(self) -> dict[str, Any]:
        view = self._policy.view()
        # Looked for only where it explains why workers are idle: there may be a million splits.
        tail = [self._splits[split] for split in self._policy.splits.holders] if view["idle"] and not view["waiting"] else []
        return view | {
            "packed": any(
                piece.unpacked is None and piece.path.lower().endswith(PACKED) for split in tail for piece in split.fragments
            )
        }

    def _event(self, news: News) -> Event | None:
        """What the policy is to hear of it; None if it comes of a worker that is gone."""
        now = self._now()
        if (news.lease.worker if isinstance(news, LeaseResult) else news.worker) in self._gone:
            return None
        if isinstance(news, LeaseResult):
            return self._answered(news, now)
        if isinstance(news, WorkerReady):
            return WorkerJoined(now, news.worker, news.speed, self._home(news.hosts) if news.hosts else None)
        if isinstance(news, WorkerDraining):
            return Draining(now, news.worker)
        self._gone.add(news.worker)
        if news.blame:
            self._last = news.error
        if news.over is not None:
            self._errors[news.over.split] = WorkerLostError(f"{news.error}; run the command again")
        return WorkerVanished(now, news.worker, news.blame, None if news.over is None else news.over.number)

    def _answered(self, answer: LeaseResult, now: float) -> Event:
        number, split = answer.lease.number, answer.lease.split
        if answer.done is not None:
            self._tell(answer.done)
            return Finished(now, number, answer.seconds)
        if answer.error is None:
            return Stopped(now, number)
        self._errors[split] = answer.error
        return Failed(now, number, _again(answer.error))

    def _obey(self, event: Event) -> None:
        for command in self._policy.on(event):
            if isinstance(command, Lease):
                self._pool.begin(command, self._splits[command.split])
            elif isinstance(command, Revoke):
                self._pool.call_back(command.lease, command.worker)
            elif isinstance(command, Replace):
                self._pool.start(command.by)
            elif isinstance(command, Kill):
                self._pool.dismiss(command.worker)
            elif isinstance(command, EndRun):
                if isinstance(self._last, PipelineError) and self._last.exit_code == SETTINGS_EXIT:
                    raise self._last
                raise NoWorkersError(f"{command.reason}; the last: {self._last}; run the command again") from self._last


def _again(error: Exception) -> bool:
    """Whether another try may help; errors that do not concern the split alone are raised."""
    if isinstance(error, InputChangedError):
        return False
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in TRANSIENT):
        return True  # another worker, or this one later, may have more
    if isinstance(error, PipelineError) and error.exit_code == TRY_AGAIN_EXIT and not isinstance(error, ClaimedError):
        return True
    raise error
