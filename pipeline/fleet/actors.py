"""The same worker in actors of Ray, on this machine or on a cluster."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from pipeline.config import TagConfig
from pipeline.contract import Done, Split
from pipeline.errors import ConfigError, PipelineError
from pipeline.fleet.drive import Answer, Going, Gone, News, Up
from pipeline.fleet.events import Lease
from pipeline.fleet.hand import Hand, Outcome
from pipeline.fleet.policy import AHEAD_S
from pipeline.fleet.server import EngineServer
from pipeline.worker import Step, Work

_POLL_S = 0.2
# Leases that were called back have so long to end before the run does.
SETTLE_S = 10.0
KNOCK_S = 10.0
# Requests that a server may have at once.
SERVED_AT_ONCE = 1000
# Seconds between looks for nodes that are to be taken away.
LOOK_S = 2.0


def check_ray() -> None:
    """Raise ConfigError if Ray is not installed."""
    if find_spec("ray") is None:
        raise ConfigError("--workers needs Ray: pip install 'textmill[ray]'")


def knock(address: str) -> None:
    """Raise OSError unless something listens at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        with socket.create_connection((host, int(port)), KNOCK_S):
            pass


def join(address: str | None, cpus: int) -> None:
    """Join the Ray cluster at an address, or start a Ray of this process's own. Raises ConfigError if none answers there."""
    import ray

    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    quiet = {"log_to_driver": False, "configure_logging": False}
    if not address:
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
        return
    try:
        knock(address)
        ray.init(address=address, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"--address {address}: no Ray cluster answers there ({error})") from error


class RayCrew:
    """Actors, one a worker, each with one split at a time and others behind it. A context: it starts a Ray of its own, or
    joins the one at `address`, and leaves nothing behind.
    """

    ahead_s = AHEAD_S
    up_at: float | None = None

    def __init__(
        self,
        work: Work,
        options: TagConfig,
        speed: float | None,
        check: Callable[[], object],
        tell: Callable[[Step], object],
    ) -> None:
        """Of the options, `workers` 0 is as many as the cluster has CPUs for, and `servers` None one for each of its GPUs;
        `speed` in tokens/s is what is known of a worker.

        `check` is called several times a second, what it raises ends the run; `tell` hears of every part.
        """
        self._wanted_servers, self._address = options.servers, options.address
        self.size, self._all, self._cpus = options.workers, not options.workers, 1
        self._work, self._speed, self._check, self._tell = work, speed, check, tell
        self._told_to_go: set[int] = set()
        self._looked = 0.0
        self._servers: list[Any] = []
        self._actors: dict[int, Any] = {}
        self._starting: dict[Any, int] = {}
        self._running: dict[Any, Lease] = {}
        self._nodes: dict[int, str] = {}

    def __enter__(self) -> RayCrew:
        check_ray()
        import ray

        join(self._address, self.size)
        self._cpus = (self._work.threads or 1) if self._address else 1
        if self._all:
            self.size = max(1, int(ray.cluster_resources().get("CPU", 0)) // self._cpus)
        self._start_servers()
        self._actor = ray.remote(num_cpus=self._cpus, max_restarts=0, concurrency_groups={"control": 1})(Hand)
        return self

    def __exit__(self, *raised: object) -> None:
        import ray

        if not any(raised) and self._running:
            ray.wait(list(self._running), num_returns=len(self._running), timeout=SETTLE_S)
        for actor in (*self._actors.values(), *self._servers):
            ray.kill(actor)
        ray.shutdown()

    @property
    def spread(self) -> bool:
        """Whether it is on several nodes, so that some are nearer to the data than others."""
        import ray

        return sum(bool(one["Alive"]) for one in ray.nodes()) > 1

    def _start_servers(self) -> None:
        """Engines that serve all workers; workers compute on their CPUs what those would end later."""
        import ray

        gpus = int(ray.cluster_resources().get("GPU", 0))
        count = gpus if self._wanted_servers is None else self._wanted_servers
        if not count:
            return
        work = self._work
        server = ray.remote(num_cpus=0, num_gpus=1 if gpus else 0, max_concurrency=SERVED_AT_ONCE)(EngineServer)
        self._servers = [server.remote(work.model, work.engine, work.threads) for _ in range(count)]
        self._work = replace(work, engine="openvino" if gpus else work.engine, servers=tuple(self._servers))

    def start(self, worker: int) -> None:
        actor = self._actor.remote(self._work)
        self._actors[worker] = actor
        self._starting[actor.node.remote()] = worker

    def begin(self, lease: Lease, split: Split) -> None:
        run = self._actors[lease.worker].run
        self._running[run.remote(lease.number, split, lease.careful)] = lease

    def call_back(self, lease: int, worker: int) -> None:
        self._actors[worker].call_back.options(concurrency_group="control").remote(lease)

    def dismiss(self, worker: int) -> None:
        import ray

        ray.kill(self._actors[worker])

    def room(self) -> int:
        if not self._all:
            return 0
        import ray

        return max(0, int(ray.cluster_resources().get("CPU", 0)) // self._cpus - len(self._actors))

    def _going(self) -> list[News]:
        """Workers whose node is to be taken away: told once each."""
        now = time.monotonic()
        if not self._address or now - self._looked < LOOK_S:
            return []
        self._looked = now
        from ray._private.state import state  # Ray has no public call for it; pinned by a test

        draining = state.get_draining_nodes()
        going = [worker for worker, node in self._nodes.items() if node in draining and worker not in self._told_to_go]
        self._told_to_go.update(going)
        return [Going(worker) for worker in going]

    def wait(self, seconds: float | None) -> Sequence[News]:
        import ray

        left = seconds
        while not (ready := self._ready(_POLL_S if left is None else min(_POLL_S, left))):
            self._check()
            if going := self._going():
                return going
            if left is not None and (left := left - _POLL_S) <= 0:
                return []
        self._check()
        news = self._going()
        lost: dict[int, ray.exceptions.RayActorError] = {}
        for one in ready:
            starting, lease = self._starting.pop(one, None), self._running.pop(one, None)
            worker = lease.worker if lease is not None else starting
            assert worker is not None
            try:
                got = ray.get(one)
            except ray.exceptions.RayActorError as error:
                lost.setdefault(worker, error)
            except ray.exceptions.RayTaskError as error:
                assert lease is not None
                cause = error.cause
                if not isinstance(cause, (PipelineError, MemoryError)):
                    raise error.as_instanceof_cause() from error
                news.append(Answer(lease, 0.0, error=cause))
            else:
                news.append(self._heard(worker, lease, got))
        return news + [self._gone(worker, error) for worker, error in lost.items()]

    def _ready(self, seconds: float) -> list[Any]:
        import ray

        refs = [*self._starting, *self._running]
        if not refs:
            time.sleep(seconds)
            return []
        first: list[Any] = ray.wait(refs, num_returns=1, timeout=seconds)[0]
        return first and list(ray.wait(refs, num_returns=len(refs), timeout=0)[0])

    def _heard(self, worker: int, lease: Lease | None, got: Any) -> News:
        if lease is None:
            self._nodes[worker], hosts = got
            self.up_at = self.up_at or time.monotonic()
            return Up(worker, self._speed, hosts)
        outcome: Outcome = got
        done: Done | None = outcome.done
        if done is not None:
            self._tell(Step(done.rows, done.tokens, done.dead_letters, done.filtered, seconds=done.seconds))
        return Answer(lease, outcome.seconds, done)

    def _gone(self, worker: int, error: Any) -> Gone:
        """A worker has died: what it had is forgotten. If its node is gone too, or it was taken away, it has no blame."""
        import ray

        self._running = {ref: lease for ref, lease in self._running.items() if lease.worker != worker}
        self._starting = {ref: other for ref, other in self._starting.items() if other != worker}
        # Ray may only have lost sight of it; what it still publishes is whole, but its CPU is wanted.
        ray.kill(self._actors.pop(worker))
        node = self._nodes.pop(worker, None)
        alive = {one["NodeID"] for one in ray.nodes() if one["Alive"]}
        blame = not getattr(error, "preempted", False) and (node is None or node in alive)
        return Gone(worker, error, blame)
