"""The same worker in actors of Ray, on this machine or on a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from typing_extensions import override

from pipeline.config import TagConfig
from pipeline.contract import PartResult, Split
from pipeline.errors import NoWorkersError, PipelineError, WorkerLostError
from pipeline.fleet.cluster_view import ClusterState
from pipeline.fleet.driver import LeaseResult, News, WorkerDraining, WorkerLost, WorkerPool, WorkerReady
from pipeline.fleet.ray_connection import check_ray
from pipeline.fleet.ray_errors import cannot_start, died, host_of, told
from pipeline.fleet.ray_session import RaySession
from pipeline.fleet.worker_actor import LeaseOutcome, WorkerActor
from pipeline.fleet.worker_wait import WorkerWait
from pipeline.scheduler.events import Lease
from pipeline.scheduler.policy import AHEAD_S
from pipeline.serving.engine_server import RESTARTS, EngineServer
from pipeline.worker.worker import BlockStats, WorkerSpec

_POLL_S = 0.2
# Leases that were called back have so long to end before the run does.
SETTLE_S = 10.0
# Requests that a server may have at once.
SERVED_AT_ONCE = 1000
# An answer that is there is got in no time, unless the machine that has it is lost.
_GET_S = 30.0


class RayPool(WorkerPool):
    """Actors, one a worker, each with one split at a time and others behind it.

    A context: it starts a Ray of its own, or joins the one at `address`, and leaves nothing behind. A Ray of its own that dies is
    started again, once.

    Args:
        work: What the workers must know of the run.
        options: Of these, `workers` 0 is as many as the cluster has CPUs for, and `servers` None one for each of its GPUs.
        speed: What is known of a worker's speed, tokens/s; None if nothing is.
        check: Called several times a second; what it raises ends the run.
        tell: Hears of every part.
        waits: Hears what the run waits for while it has no worker.
        say: Hears what people should know.
    """

    ahead_s = AHEAD_S
    up_at: float | None = None

    def __init__(
        self,
        work: WorkerSpec,
        options: TagConfig,
        speed: float | None,
        check: Callable[[], object],
        tell: Callable[[BlockStats], object],
        waits: Callable[[str], object] = lambda why: None,
        say: Callable[[str], object] = lambda line: None,
    ) -> None:
        self._wanted_servers, self._address = options.servers, options.address
        self.size, self._all, self._cpus = options.workers, not options.workers, 1
        self._given, self._speed, self._check, self._tell, self._say = work, speed, check, tell, say
        self._patience = WorkerWait(options.no_workers_s, waits)
        self._restarted = False
        self._last: Exception | None = None
        self._forget()

    def _forget(self) -> None:
        self._told_to_go: set[int] = set()
        self._servers: list[Any] = []
        self._actors: dict[int, Any] = {}
        self._starting: dict[Any, int] = {}
        self._running: dict[Any, tuple[Lease, str]] = {}
        self._nodes: dict[int, tuple[str, str]] = {}  # of workers that are up: the node's id, and its name

    def __enter__(self) -> RayPool:
        check_ray()
        self._open()
        return self

    def _open(self) -> None:
        import ray

        self._session = RaySession(self._address, self.size)
        self._cpus = (self._given.threads or 1) if self._address else 1
        if self._all:
            self.size = max(1, self._session.worker_slots(self._cpus))
        try:
            with told("the servers cannot be started"):
                self._start_servers()
        except BaseException:
            self._close()
            raise
        self._actor = ray.remote(num_cpus=self._cpus, max_restarts=0, concurrency_groups={"control": 1})(WorkerActor)

    def __exit__(self, *raised: object) -> None:
        import ray

        if not any(raised) and self._running:
            with suppress(ray.exceptions.RayError):
                ray.wait(list(self._running), num_returns=len(self._running), timeout=SETTLE_S)
        self._close()

    def _close(self) -> None:
        self._session.close((*self._actors.values(), *self._servers))
        self._forget()

    @property
    def spread(self) -> bool:
        """Whether it is on several nodes, so that some are nearer to the data than others."""
        return (seen := self._session.seen) is not None and len(seen.nodes) > 1

    def _start_servers(self) -> None:
        """Start the engine servers. A worker computes a batch on its own CPU where that ends sooner than a server would."""
        import ray

        self._work = self._given
        gpus = int(ray.cluster_resources().get("GPU", 0))
        count = gpus if self._wanted_servers is None else self._wanted_servers
        if not count:
            return
        work = self._work
        needs = {"num_cpus": 0, "num_gpus": 1 if gpus else 0, "max_restarts": RESTARTS}
        server = ray.remote(max_concurrency=SERVED_AT_ONCE, **needs)(EngineServer)
        self._servers = [server.remote(work.model, work.engine, work.threads) for _ in range(count)]
        self._work = replace(work, engine="openvino" if gpus else work.engine, servers=tuple(self._servers))

    @override
    def start(self, worker: int) -> None:
        with told(f"worker {worker} cannot be started"):
            actor = self._session.ask(lambda: self._actor.remote(self._work), f"for worker {worker}")
            self._actors[worker] = actor  # None where this process's own Ray has died: its restart tells of all as gone
            if actor is not None:
                self._starting[actor.load.remote()] = worker

    @override
    def begin(self, lease: Lease, split: Split) -> None:
        if (actor := self._actors.get(lease.worker)) is not None:
            with told(f"worker {lease.worker} cannot be told of {split.name}"):
                self._running[actor.run.remote(lease.number, split, lease.isolated)] = lease, split.name

    @override
    def call_back(self, lease: int, worker: int) -> None:
        if (actor := self._actors.get(worker)) is not None:
            with told(f"worker {worker} cannot be told to stop"):
                actor.call_back.options(concurrency_group="control").remote(lease)

    @override
    def dismiss(self, worker: int) -> None:
        import ray

        if (actor := self._actors.get(worker)) is not None:
            with told(f"worker {worker} cannot be ended"):
                self._session.ask(lambda: ray.kill(actor), f"to end worker {worker}")

    @override
    def room(self) -> int:
        return max(0, self._session.worker_slots(self._cpus) - len(self._actors)) if self._all else 0

    @override
    def wait(self, seconds: float | None) -> Sequence[News]:
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            self._check()
            if news := self._restart() or self._going():
                return news
            self._session.check()
            self._patience.look(len(self._nodes), self._about)
            left = _POLL_S if until is None else min(_POLL_S, max(0.0, until - time.monotonic()))
            if ready := self._ready(left):
                self._check()
                return self._news(ready)
            if until is not None and time.monotonic() >= until:
                return []

    def _about(self) -> str:
        last = "" if self._last is None else f"; the last: {self._last}"
        return self._session.about(len(self._actors), self._cpus) + last

    def _restart(self) -> list[News]:
        """If the Ray of this process's own has died, start another, once; all workers are gone, and none is to blame."""
        if (how := self._session.ended()) is None:
            return []
        if self._restarted:
            raise NoWorkersError(f"the local Ray died again after it was started anew: {how}; run the command again")
        self._restarted = True
        self._say(f"the local Ray died: {how}; it is started again, once")
        lost = WorkerLostError(f"the local Ray died: {how}")
        gone: list[News] = [WorkerLost(worker, lost, blame=False) for worker in self._actors]
        self._close()
        self._open()
        return gone

    def _going(self) -> list[News]:
        """Workers whose node is to be taken away: told once each."""
        if (seen := self._session.seen) is None or not (draining := seen.draining):
            return []
        going = [worker for worker, (node, _) in self._nodes.items() if node in draining and worker not in self._told_to_go]
        self._told_to_go.update(going)
        return [WorkerDraining(worker) for worker in going]

    def _ready(self, seconds: float) -> list[Any]:
        import ray

        refs = [*self._starting, *self._running]
        if not refs:
            time.sleep(seconds)
            return []
        with told("workers cannot be waited for"):
            first: list[Any] = ray.wait(refs, num_returns=1, timeout=seconds)[0]
            return first and list(ray.wait(refs, num_returns=len(refs), timeout=0)[0])

    def _news(self, ready: Sequence[Any]) -> list[News]:
        """What has come of calls that have ended. Of a worker that is lost the answers come first."""
        import ray

        news: list[News] = []
        lost: dict[int, Any] = {}
        for one in ready:
            if one in self._starting:
                worker, lease = self._starting[one], None
            else:
                lease, _ = self._running[one]
                worker = lease.worker
            try:
                got = ray.get(one, timeout=_GET_S)
            except ray.exceptions.RayTaskError as error:
                cause = error.cause
                if lease is None:
                    lost.setdefault(worker, cannot_start(worker, host_of(error), cause))
                    continue
                if not isinstance(cause, (PipelineError, MemoryError, OSError)):
                    raise error.as_instanceof_cause() from error
                news.append(LeaseResult(lease, 0.0, error=cause))
            except ray.exceptions.RayError as error:
                lost.setdefault(worker, error)
                continue  # its call stays: it tells what the worker was at
            else:
                news.append(self._heard(worker, lease, got))
            self._starting.pop(one, None)
            self._running.pop(one, None)
        return news + self._gone(lost) if lost else news

    def _heard(self, worker: int, lease: Lease | None, got: Any) -> News:
        if lease is None:
            node, hosts = got
            self._nodes[worker] = node, hosts[0]
            self.up_at = self.up_at or time.monotonic()
            return WorkerReady(worker, self._speed, hosts)
        outcome: LeaseOutcome = got
        done: PartResult | None = outcome.done
        if done is not None:
            lost, seconds = done.counts.get("lost_documents", 0), done.seconds
            self._tell(BlockStats(done.rows, done.tokens, done.dead_letters, done.filtered, 0, seconds, done.reasons, lost))
        return LeaseResult(lease, outcome.seconds, done)

    def _gone(self, lost: dict[int, Any]) -> list[News]:
        """Workers have died: what they had is forgotten. If its node is gone too, or it was taken away, one has no blame."""
        import ray

        deaths = [str(error) for error in lost.values() if not isinstance(error, PipelineError)]
        strange = any("owner has died" in death for death in deaths)  # for that is this process
        if deaths and (strange or len(lost) == len(self._actors)) and self._session.ends(self._check):
            return self._restart()
        seen = self._session.fresh()
        news: list[News] = []
        for worker, error in lost.items():
            leases = {ref: given for ref, given in self._running.items() if given[0].worker == worker}
            # It does what it has in the order in which it was given.
            over, part = min(leases.values(), default=(None, None), key=lambda given: given[0].number)
            self._running = {ref: given for ref, given in self._running.items() if ref not in leases}
            self._starting = {ref: other for ref, other in self._starting.items() if other != worker}
            # Ray may only have lost sight of it; what it still publishes is whole, but its CPU is wanted.
            actor = self._actors.pop(worker)
            with suppress(ray.exceptions.RayError):
                self._session.ask(partial(ray.kill, actor), f"to end worker {worker}")
            node, host = self._nodes.pop(worker, (None, ""))
            blame = _blamed(error, node, seen)
            if not isinstance(error, PipelineError):
                error = cannot_start(worker, host, error) if node is None else died(worker, host, error, part)
            self._last = error
            news.append(WorkerLost(worker, error, blame, over))
        return news


def _blamed(error: Exception, node: str | None, seen: ClusterState | None) -> bool:
    """Whether a worker died by itself, not with the node that it was up on, nor because that was taken away."""
    if getattr(error, "preempted", False) or any(sign in str(error) for sign in ("owner has died", "node has died")):
        return False
    return node is None or seen is None or node in seen.nodes
