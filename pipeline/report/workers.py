"""Who counts the blocks of a report: this process, or actors of Ray on this machine or a cluster.

Partial aggregates of any division of the parts come to the same sums, so it does not matter who counts which block, nor in which
order they come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from typing_extensions import override

from pipeline.errors import PipelineError, WorkerLostError
from pipeline.fleet.ray_connection import check_ray
from pipeline.fleet.ray_errors import cannot_start, died, told
from pipeline.fleet.ray_session import RaySession
from pipeline.fleet.worker_wait import WorkerWait
from pipeline.observe.progress import Progress
from pipeline.report.aggregate import Partial
from pipeline.report.database import database
from pipeline.report.parts import Part
from pipeline.store.base import Store
from pipeline.store.open import open_store
from pipeline.store.settings import StoreConfig

# Blocks that an actor has at a time, so that it need not wait; actors that may be lost over one block.
AHEAD, MAX_LOSSES = 2, 3
# A report ends when none of its actors has been alive for so long: an autoscaler has time.
NO_WORKERS_S = 600.0
_POLL_S, _GET_S = 0.5, 30.0


class Pass(Protocol):
    """What is counted of each block; it can be pickled, and so sent to an actor."""

    def count(self, store: Store, con: Any, block: Sequence[Part]) -> Partial:
        """Count a block.

        Args:
            store: Store of the tagged output.
            con: DuckDB connection.
            block: The parts that are counted together.

        Returns:
            The block's partial aggregate.
        """
        ...


class PassRunner(Protocol):
    """Counts blocks, wherever that is done."""

    def each(self, what: Pass, blocks: Iterable[Sequence[Part]]) -> Iterator[Partial]:
        """Count blocks one by one or several at a time.

        Args:
            what: What is counted of each block.
            blocks: The blocks, each of at least one part.

        Yields:
            The blocks' partial aggregates, in any order.

        Raises:
            WorkerLostError: The workers that count have died too often, or none has been alive for too long.
        """
        ...


class LocalRunner(PassRunner):
    """Counts in this process, one block after the other.

    Args:
        store: Store of the tagged output.
        con: DuckDB connection.
    """

    def __init__(self, store: Store, con: Any) -> None:
        self._store, self._con = store, con

    @override
    def each(self, what: Pass, blocks: Iterable[Sequence[Part]]) -> Iterator[Partial]:
        for block in blocks:
            yield what.count(self._store, self._con, block)


class Counter:
    """Counts inside a Ray actor, with a store and a DuckDB of its own.

    Args:
        url: URL of the tagged output.
        reach: How its store is reached.
        memory_mb: Memory limit of the actor's process, MB.
    """

    def __init__(self, url: str, reach: StoreConfig, memory_mb: int) -> None:
        self._store, self._stack = open_store(url, reach), ExitStack()
        self._con = self._stack.enter_context(database(memory_mb))

    def up(self) -> None:
        """Return at once: a call that returns shows that the actor has started."""

    def count(self, what: Pass, block: Sequence[Part]) -> Partial:
        """Count a block; raises what the pass raises.

        Args:
            what: What is counted.
            block: The parts that are counted together.

        Returns:
            The block's partial aggregate.
        """
        return what.count(self._store, self._con, block)

    def close(self) -> None:
        """Close DuckDB, and remove what it has written to disk."""
        self._stack.close()


@dataclass
class RayRunner(PassRunner):
    """Counts in Ray actors, each of which counts one block after the other.

    A context manager: it starts a local Ray or joins the one at `address`, and leaves nothing behind. An actor that dies is
    replaced, and its blocks are counted again, each up to `MAX_LOSSES` times.

    Attributes:
        url: URL of the tagged output.
        reach: How its store is reached.
        memory_mb: Memory limit of each actor's process, MB.
        workers: Number of actors; 0 is as many as Ray has CPUs.
        address: Address of the Ray cluster; None starts a local Ray.
    """

    url: str
    reach: StoreConfig
    memory_mb: int
    workers: int
    address: str | None

    def __enter__(self) -> RayRunner:
        check_ray()
        import ray

        self._starting: dict[Any, Any] = {}  # what is asked of an actor that is being started -> the actor
        self._up: set[Any] = set()
        self._patience = WorkerWait(NO_WORKERS_S, Progress().waits)
        self._session = RaySession(self.address, self.workers)
        self._actor = ray.remote(num_cpus=1, max_restarts=0)(Counter)
        self._actors = [self._start() for _ in range(self.workers or max(1, self._session.worker_slots(1)))]
        return self

    def __exit__(self, *raised: object) -> None:
        import ray

        if not any(raised):
            with suppress(ray.exceptions.RayError):
                ray.wait([actor.close.remote() for actor in self._actors], num_returns=len(self._actors), timeout=10)
        self._session.close(self._actors)

    def _start(self) -> Any:
        actor = self._actor.remote(self.url, self.reach, self.memory_mb)
        self._starting[actor.up.remote()] = actor
        return actor

    @override
    def each(self, what: Pass, blocks: Iterable[Sequence[Part]]) -> Iterator[Partial]:
        import ray

        with told("the report's workers cannot be told what to count"):
            shared = ray.put(what)
        waiting = deque((block, 0) for block in blocks)
        running: dict[Any, tuple[int, Any, Sequence[Part], int]] = {}
        busy = [0] * len(self._actors)
        while waiting or running:
            while waiting and min(busy) < AHEAD:
                block, losses = waiting.popleft()
                place = busy.index(min(busy))
                actor = self._actors[place]
                with told("a worker cannot be told what to count"):
                    running[actor.count.remote(shared, block)] = place, actor, block, losses
                busy[place] += 1
            ready = self._ready(running)
            place, actor, block, losses = running.pop(ready)
            busy[place] -= 1
            try:
                partial: Partial = ray.get(ready, timeout=_GET_S)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, PipelineError):
                    raise error.cause from error
                raise error.as_instanceof_cause() from error
            except ray.exceptions.RayError as error:
                lost = died(place, "", error, block[0].name) if actor in self._up else cannot_start(place, "", error)
                if losses == MAX_LOSSES:
                    raise type(lost)(f"{lost}; run the command again") from error
                waiting.appendleft((block, losses + 1))
                if self._actors[place] is actor:
                    self._up.discard(actor)
                    self._actors[place] = self._start()
            else:
                yield partial

    def _ready(self, running: Iterable[Any]) -> Any:
        """A call that has ended. Raises WorkerLostError if the local Ray dies, NoWorkersError if no actor is there for long."""
        import ray

        while True:
            if (how := self._session.ended()) is not None:
                raise WorkerLostError(f"the local Ray died: {how}; run the command again")
            self._session.check()
            with told("the report's workers cannot be waited for"):
                ready = ray.wait([*running, *self._starting], num_returns=1, timeout=_POLL_S)[0]
            if not ready:
                self._patience.look(len(self._up), self._about)
            elif (actor := self._starting.pop(ready[0], None)) is None:
                return ready[0]
            elif actor in self._actors:
                with suppress(ray.exceptions.RayError):
                    ray.get(ready[0], timeout=_GET_S)
                    self._up.add(actor)

    def _about(self) -> str:
        return self._session.about(len(self._actors), 1)
