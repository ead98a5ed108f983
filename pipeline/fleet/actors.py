"""The same worker in N actors of a local Ray."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from pipeline.contract import Done, Split
from pipeline.errors import ConfigError, PipelineError, WorkerLostError
from pipeline.fleet.drive import Answer
from pipeline.fleet.policy import Lease
from pipeline.worker import Step, TagWorker, Work

_POLL_S = 0.2


def check_ray() -> None:
    """Raise ConfigError if Ray is not installed."""
    if find_spec("ray") is None:
        raise ConfigError("--workers needs Ray: pip install 'textmill[ray]'")


class RayCrew:
    """N actors; each does one split at a time. A context: it starts a Ray of its own and shuts it down."""

    def __init__(self, work: Work, workers: int, check: Callable[[], object], tell: Callable[[Step], object]) -> None:
        """`check` is called several times a second, what it raises ends the run; `tell` hears of every part."""
        self.size = workers
        self._work, self._check, self._tell = work, check, tell
        self._actors: list[Any] = []
        self._running: dict[Any, Lease] = {}

    def __enter__(self) -> RayCrew:
        check_ray()
        import ray

        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        ray.init(address="local", num_cpus=self.size, include_dashboard=False, log_to_driver=False, configure_logging=False)
        self._actors = [self._start() for _ in range(self.size)]
        return self

    def __exit__(self, *raised: object) -> None:
        import ray

        ray.shutdown()

    def _start(self) -> Any:
        import ray

        return ray.remote(num_cpus=1, max_restarts=0)(TagWorker).remote(self._work)

    def begin(self, lease: Lease, split: Split) -> None:
        self._running[self._actors[lease.worker].run.remote(split, careful=lease.careful)] = lease

    def replace(self, worker: int) -> None:
        self._actors[worker] = self._start()

    def wait(self) -> Answer:
        import ray

        while not (ready := ray.wait(list(self._running), num_returns=1, timeout=_POLL_S)[0]):
            self._check()
        lease = self._running.pop(ready[0])
        try:
            done: Done = ray.get(ready[0])
        except ray.exceptions.RayActorError as error:
            lost = WorkerLostError(f"a worker died over {lease.split} ({type(error).__name__}); run the command again")
            return Answer(lease, None, lost, lost=True)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, PipelineError):
                return Answer(lease, None, cause)
            raise error.as_instanceof_cause() from error
        self._tell(Step(done.rows, done.tokens, done.dead_letters, done.filtered, seconds=done.seconds))
        return Answer(lease, done)
