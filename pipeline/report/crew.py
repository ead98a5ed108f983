"""Who counts the blocks of a report: this process, or actors of Ray on this machine or a cluster.

Partial aggregates of any division of the parts come to the same sums, so it does not matter who counts which block, nor in which
order they come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.errors import PipelineError, WorkerLostError
from pipeline.fleet.actors import check_ray, join
from pipeline.report.aggregate import Partial
from pipeline.report.database import database
from pipeline.report.parts import Part
from pipeline.store.base import Store
from pipeline.store.opening import open_store
from pipeline.store.settings import StoreConfig

# Blocks that an actor has at a time, so that it need not wait; actors that may be lost over one block.
AHEAD, MAX_LOSSES = 2, 3


class Round(Protocol):
    """What is counted of each block; it can be sent."""

    def count(self, store: Store, con: Any, block: Sequence[Part]) -> Partial:
        """The partial aggregate of a block."""
        ...


class Crew(Protocol):
    """Counts blocks."""

    def each(self, what: Round, blocks: Iterable[Sequence[Part]]) -> Iterator[Partial]:
        """The partial aggregates of all blocks, in any order."""
        ...


class Here:
    """This process."""

    def __init__(self, store: Store, con: Any) -> None:
        self._store, self._con = store, con

    def each(self, what: Round, blocks: Iterable[Sequence[Part]]) -> Iterator[Partial]:
        """See Crew."""
        for block in blocks:
            yield what.count(self._store, self._con, block)


class Counter:
    """What runs in an actor: a store and a DuckDB of its own, with a memory limit."""

    def __init__(self, url: str, reach: StoreConfig, memory_mb: int) -> None:
        self._store, self._stack = open_store(url, reach), ExitStack()
        self._con = self._stack.enter_context(database(memory_mb))

    def count(self, what: Round, block: Sequence[Part]) -> Partial:
        """The partial aggregate of a block. Raises what the round raises."""
        return what.count(self._store, self._con, block)

    def close(self) -> None:
        """Remove what DuckDB has on disk."""
        self._stack.close()


@dataclass
class OnRay:
    """Actors, each of which counts one block after the other. A context: it starts a Ray of its own, or joins the one at
    `address`, and leaves nothing behind. `workers` 0 is as many as the cluster has CPUs.
    """

    url: str
    reach: StoreConfig
    memory_mb: int
    workers: int
    address: str | None

    def __enter__(self) -> OnRay:
        check_ray()
        import ray

        join(self.address, self.workers)
        count = self.workers or max(1, int(ray.cluster_resources().get("CPU", 0)))
        self._actor = ray.remote(num_cpus=1, max_restarts=0)(Counter)
        self._actors = [self._start() for _ in range(count)]
        return self

    def __exit__(self, *raised: object) -> None:
        import ray

        if not any(raised):
            ray.wait([actor.close.remote() for actor in self._actors], num_returns=len(self._actors), timeout=10)
        for actor in self._actors:
            ray.kill(actor)
        ray.shutdown()

    def _start(self) -> Any:
        return self._actor.remote(self.url, self.reach, self.memory_mb)

    def each(self, what: Round, blocks: Iterable[Sequence[Part]]) -> Iterator[Partial]:
        """See Crew. Raises WorkerLostError if actors are lost again and again over one block, else what counting raises."""
        import ray

        told, waiting = ray.put(what), deque((block, 0) for block in blocks)
        running: dict[Any, tuple[int, Any, Sequence[Part], int]] = {}
        busy = [0] * len(self._actors)
        while waiting or running:
            while waiting and min(busy) < AHEAD:
                block, losses = waiting.popleft()
                place = busy.index(min(busy))
                actor = self._actors[place]
                running[actor.count.remote(told, block)] = place, actor, block, losses
                busy[place] += 1
            (ready,), _ = ray.wait(list(running), num_returns=1)
            place, actor, block, losses = running.pop(ready)
            busy[place] -= 1
            try:
                partial: Partial = ray.get(ready)
            except ray.exceptions.RayActorError as error:
                if losses == MAX_LOSSES:
                    raise WorkerLostError(f"workers died over {block[0].name} again and again: {error}") from error
                waiting.appendleft((block, losses + 1))
                if self._actors[place] is actor:
                    self._actors[place] = self._start()
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, PipelineError):
                    raise error.cause from error
                raise error.as_instanceof_cause() from error
            else:
                yield partial
