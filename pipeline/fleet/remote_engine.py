"""An engine that lets others compute: a worker sends its batches to servers, and computes itself what they would end later.

So while a GPU has room all workers feed it, and when it is saturated their CPUs take the share that it cannot.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from models.runtime.batches import RaggedBatch
from models.runtime.engines import Engine, Scores
from pipeline.errors import UnavailableError

# Of what is not known yet of a server; a worker has at most so many batches on the way to each.
FIRST_SPEED, ON_THE_WAY = 100_000.0, 8
# Batches that are computed here at a time: enough that both threads of an engine work.
HERE = 2
_POLL_S = 0.05


@dataclass(slots=True)
class _Server:
    handle: Any
    speed: float = FIRST_SPEED
    queued: int = 0  # tokens of others that wait there, as of its last reply
    mine: int = 0  # tokens that are on the way
    batches: int = 0
    seen: float = field(default_factory=time.monotonic)

    def ends_in(self, tokens: int) -> float:
        """Seconds until it would have computed so many tokens more; what waited there has gone down since it spoke."""
        waiting = max(0.0, self.queued - self.speed * (time.monotonic() - self.seen))
        return (waiting + self.mine + tokens) / self.speed


class RemoteEngine:
    """Sends batches of the model of language `lang` to `servers` (actor handles of EngineServer); `local` computes here, or None.

    A server that dies is left out, and what it had is computed elsewhere. Raises UnavailableError if nobody is left.
    """

    name = "remote"

    def __init__(self, servers: Sequence[Any], lang: str, local: Engine | None) -> None:
        self._servers = [_Server(handle) for handle in servers]
        self._lang, self._local = lang, local
        self._here = 0.0  # tokens/s of the local engine; 0 until it is known
        self.sent_tokens = self.own_tokens = 0

    def infer(self, batches: Iterable[RaggedBatch]) -> Iterator[Scores]:
        """The scores of every batch, in any order."""
        source = iter(batches)
        waiting: list[RaggedBatch] = list(islice(source, HERE))
        flights: dict[Any, tuple[_Server, RaggedBatch]] = {}
        try:
            yield from self._fly(source, waiting, flights)
        finally:
            # Who stops early wants no answers any more.
            for server, batch in flights.values():
                self._landed(server, batch)

    def _fly(
        self, source: Iterator[RaggedBatch], waiting: list[RaggedBatch], flights: dict[Any, tuple[_Server, RaggedBatch]]
    ) -> Iterator[Scores]:
        import ray

        while waiting or flights:
            while waiting and (server := self._sooner(waiting[0])) is not None:
                batch = waiting.pop(0)
                flights[self._send(server, batch)] = server, batch
                waiting += islice(source, 1)
            if waiting and self._local is not None and not self._worth_waiting(waiting[0]):
                yield from self._compute(waiting)
                waiting = list(islice(source, HERE))
                continue
            if waiting and not self._servers and self._local is None:
                raise UnavailableError("servers", "all engine servers have died; run the command again")
            ready, _ = ray.wait(list(flights), num_returns=1, timeout=_POLL_S) if flights else ([], [])
            for ref in ready:
                server, batch = flights.pop(ref)
                self._landed(server, batch)
                try:
                    reply = ray.get(ref)
                except ray.exceptions.RayActorError:
                    self._forget(server)
                    waiting.insert(0, batch)
                    continue
                server.queued, server.seen = max(0, reply.queued - server.mine), time.monotonic()
                server.speed = reply.speed or server.speed
                yield Scores(batch, reply.tokens.astype(np.float32), reply.sentiment)

    def _sooner(self, batch: RaggedBatch) -> _Server | None:
        """The server that would end the batch first, if it takes one more and is sooner than this machine."""
        open_ones = [server for server in self._servers if server.batches < ON_THE_WAY]
        if not open_ones:
            return None
        best = min(open_ones, key=lambda server: server.ends_in(len(batch.ids)))
        return best if self._local is None or best.ends_in(len(batch.ids)) <= self._takes_here(batch) else None

    def _takes_here(self, batch: RaggedBatch) -> float:
        return len(batch.ids) / self._here if self._here else float("inf")

    def _worth_waiting(self, batch: RaggedBatch) -> bool:
        """Whether a server that takes no more now would still end the batch sooner than this machine."""
        ends = min((server.ends_in(len(batch.ids)) for server in self._servers), default=float("inf"))
        return bool(self._here) and ends <= self._takes_here(batch)

    def _compute(self, batches: list[RaggedBatch]) -> Iterator[Scores]:
        assert self._local is not None
        began, tokens = time.perf_counter(), sum(len(batch.ids) for batch in batches)
        found = list(self._local.infer(batches))
        speed = tokens / (time.perf_counter() - began)
        self._here = 0.8 * self._here + 0.2 * speed if self._here else speed
        self.own_tokens += tokens
        yield from found

    def _send(self, server: _Server, batch: RaggedBatch) -> Any:
        server.mine += len(batch.ids)
        server.batches += 1
        self.sent_tokens += len(batch.ids)
        return server.handle.infer.remote(self._lang, batch.ids, batch.cases, batch.offsets)

    @staticmethod
    def _landed(server: _Server, batch: RaggedBatch) -> None:
        server.mine -= len(batch.ids)
        server.batches -= 1

    def _forget(self, server: _Server) -> None:
        if server in self._servers:
            self._servers.remove(server)
