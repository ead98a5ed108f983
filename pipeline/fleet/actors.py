"""The same worker in N actors of a local Ray; results come in the order of the blocks."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec

from pipeline.contract import Block, Tagged
from pipeline.errors import ConfigError, WorkerLostError
from pipeline.worker import TagWorker

# Blocks given to each actor at a time: one that it works on and one that waits.
IN_FLIGHT = 2
_POLL_S = 0.2


def check_ray() -> None:
    """Raise ConfigError if Ray is not installed."""
    if find_spec("ray") is None:
        raise ConfigError("--workers needs Ray: pip install 'textmill[ray]'")


def tag_on_ray(
    blocks: Iterable[Block], model: str, engine: str, threads: int | None, workers: int, check: Callable[[], object]
) -> Iterator[Tagged]:
    """Tag blocks with `workers` actors; `threads` is for each, by default the CPUs shared evenly.

    Starts a Ray of its own and shuts it down. `check` is called several times a second, what it raises ends the run.
    Raises WorkerLostError if an actor dies.
    """
    check_ray()
    import ray

    each = threads or max(1, len(os.sched_getaffinity(0)) // workers)
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        actor = ray.remote(num_cpus=1, max_restarts=0)(TagWorker)
        fleet = [actor.remote(model, engine, each) for _ in range(workers)]
        pending: deque[object] = deque()
        for number, block in enumerate(blocks):
            pending.append(fleet[number % workers].tag.remote(block))
            if len(pending) >= workers * IN_FLIGHT:
                yield _result(pending.popleft(), check)
        while pending:
            yield _result(pending.popleft(), check)
    finally:
        ray.shutdown()


def _result(reference: object, check: Callable[[], object]) -> Tagged:
    import ray

    while not ray.wait([reference], timeout=_POLL_S)[0]:
        check()
    try:
        tagged: Tagged = ray.get(reference)
    except ray.exceptions.RayActorError as error:
        raise WorkerLostError(f"a worker died ({error}); run the command again") from error
    except ray.exceptions.RayTaskError as error:
        raise error.as_instanceof_cause() from error
    return tagged
