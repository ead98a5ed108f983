"""An engine that sends batches to servers. A worker computes a batch itself where that ends sooner.

So while a GPU has room all workers feed it, and when it is saturated their CPUs take the share that it cannot.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from models.runtime.batches import RaggedBatch
from models.runtime.engines import Engine, Logits
from pipeline.errors import UnavailableError
from pipeline.serving.engine_calls import CallRefusedError, EngineCalls, LostServerError, RayCalls
from pipeline.serving.server_state import ServerState

log = logging.getLogger("textmill")
# Batches that are computed here at a time: enough that both threads of an engine work.
HERE = 2
# An answer may take so many times as long as is expected, and so many seconds more.
LATE_FACTOR, LATE_S = 4.0, 10.0
# Without a local engine, so long is waited for a server.
WAIT_S = 60.0
_POLL_S = 0.05


@dataclass(slots=True)
class _Flight:
    server: ServerState
    batch: RaggedBatch
    due: float


@dataclass(slots=True)
class _Stream:
    """Where the batches of one call of `infer` are: still in the source, waiting here, or on the way by their calls."""

    source: Iterator[RaggedBatch]
    waiting: list[RaggedBatch] = field(default_factory=list)
    flights: dict[Any, _Flight] = field(default_factory=dict)
    refused: dict[int, dict[ServerState, BaseException]] = field(default_factory=dict)  # errors over a batch, by its id

    def fill(self) -> None:
        """Have so many batches waiting as are computed here at a time."""
        self.waiting += islice(self.source, max(0, HERE - len(self.waiting)))

    def refused_by(self, batch: RaggedBatch) -> dict[ServerState, BaseException]:
        return self.refused.get(id(batch), {})


class RemoteEngine:
    """An engine that sends batches to engine servers, and computes one itself where that ends sooner.

    A batch over which a server fails, or whose server dies or is late, is computed once more: here, or without a local engine by
    another server. If it fails there too, that error is raised. If not, the server is at fault: it is set aside, and asked later
    whether it is back. Answers that it gives after that are dropped.

    Args:
        servers: Actor handles of EngineServer.
        lang: Language whose model computes the batches.
        local: Computes here; None to leave all to the servers.
        late_s: Seconds that an answer may take beyond LATE_FACTOR times the expected time.
        wait_s: Seconds to wait for a server if there is no local engine.
        calls: How servers are called; through Ray if not given.

    Attributes:
        sent_tokens: Tokens sent to servers so far.
        own_tokens: Tokens computed by the local engine so far.
    """

    name = "remote"
    streams = 1
    # Who computes a batch hangs on how busy everybody is, and servers answer in float16: its scores are no other engine's.
    arithmetic: str | None = None

    def __init__(
        self,
        servers: Sequence[Any],
        lang: str,
        local: Engine | None,
        late_s: float = LATE_S,
        wait_s: float = WAIT_S,
        calls: EngineCalls | None = None,
    ) -> None:
        self._servers = [ServerState(handle) for handle in servers]
        self._lang, self._local, self._calls = lang, local, calls or RayCalls()
        self._late_s, self._wait_s = late_s, wait_s
        self._here = 0.0  # tokens/s of the local engine; 0 until it is known
        self.sent_tokens = self.own_tokens = 0

    def infer(self, batches: Iterable[RaggedBatch]) -> Iterator[Logits]:
        """Compute the logits of batches.

        Args:
            batches: The batches; few are taken ahead of those that are computed.

        Yields:
            The logits of every batch once, in any order.

        Raises:
            UnavailableError: There is no local engine, and no server has answered for `wait_s`.
            Exception: The local engine has raised it over a batch; or, without a local engine, a server has, and no other server
                is left to try the batch on.
        """
        stream = _Stream(iter(batches))
        try:
            yield from self._fly(stream)
        finally:
            # Who stops early wants no answers any more.
            for flight in stream.flights.values():
                flight.server.landed(len(flight.batch.ids))

    def _fly(self, stream: _Stream) -> Iterator[Logits]:
        waiting, alone_since = stream.waiting, None
        stream.fill()
        while waiting or stream.flights:
            self._ask()
            self._send(stream)
            here = bool(waiting) and self._local is not None and not self._worth_waiting(waiting[0])
            if here:
                mine, waiting[:HERE] = waiting[:HERE], []
                stream.fill()
                yield from self._compute(mine)
            elif waiting and self._local is None and not self._able(stream, waiting[0]):
                alone_since = self._calls.now() if alone_since is None else alone_since
                if self._calls.now() - alone_since > self._wait_s:
                    why = f"no engine server has answered for {self._wait_s:.0f} s; run the command again"
                    raise UnavailableError("servers", why)
            else:
                alone_since = None
            questions = [server.question for server in self._servers if server.question is not None]
            for call in self._calls.wait([*stream.flights, *questions], 0.0 if here else _POLL_S):
                if call in stream.flights:
                    yield from self._landed(stream, call)
                else:
                    self._heard(call)
            now = self._calls.now()
            for late in [flight for flight in stream.flights.values() if flight.due < now]:
                self._set_aside(stream, late.server, "gives no answer")

    def _ask(self) -> None:
        """Ask the servers that are set aside, or new, whether they are there."""
        now = self._calls.now()
        for server in self._servers:
            if not server.ready and server.question is None and now >= server.back_at:
                try:
                    server.question = self._calls.ask(server.handle)
                except LostServerError:
                    server.set_aside(now)

    def _heard(self, call: Any) -> None:
        server = next((server for server in self._servers if server.question is call), None)
        if server is None:
            return  # it was set aside meanwhile
        server.question = None
        try:
            self._calls.get(call)
            server.ready = True
        except (LostServerError, CallRefusedError):
            server.set_aside(self._calls.now())

    def _send(self, stream: _Stream) -> None:
        """Send what waits to servers that end it sooner than this machine."""
        while stream.waiting and (server := self._sooner(stream)) is not None:
            batch, now = stream.waiting.pop(0), self._calls.now()
            tokens = len(batch.ids)
            due = now + self._late_s + LATE_FACTOR * server.ends_in(tokens, now)
            try:
                call = self._calls.send(server.handle, self._lang, batch)
            except LostServerError as error:
                stream.waiting.insert(0, batch)
                self._set_aside(stream, server, str(error))
                continue
            server.sent(tokens)
            self.sent_tokens += tokens
            stream.flights[call] = _Flight(server, batch, due)
            stream.fill()

    def _sooner(self, stream: _Stream) -> ServerState | None:
        """The server that would end the next batch first, if it takes one more and is sooner than this machine."""
        batch, now = stream.waiting[0], self._calls.now()
        refused = stream.refused_by(batch)
        ends = {server: server.ends_in(len(batch.ids), now) for server in self._servers if server.open and server not in refused}
        best = min(ends, key=ends.__getitem__, default=None)
        return best if best is not None and (self._local is None or ends[best] <= self._takes_here(batch)) else None

    def _takes_here(self, batch: RaggedBatch) -> float:
        return len(batch.ids) / self._here if self._here else float("inf")

    def _worth_waiting(self, batch: RaggedBatch) -> bool:
        """Whether a server that takes no more now would still end the batch sooner than this machine."""
        now = self._calls.now()
        ends = min((server.ends_in(len(batch.ids), now) for server in self._servers if server.ready), default=float("inf"))
        return bool(self._here) and ends <= self._takes_here(batch)

    def _compute(self, batches: list[RaggedBatch]) -> Iterator[Logits]:
        assert self._local is not None
        began, tokens = self._calls.now(), sum(len(batch.ids) for batch in batches)
        found = list(self._local.infer(batches))
        speed = tokens / max(1e-6, self._calls.now() - began)
        self._here = 0.8 * self._here + 0.2 * speed if self._here else speed
        self.own_tokens += tokens
        yield from found

    def _landed(self, stream: _Stream, call: Any) -> Iterator[Logits]:
        """A call is answered: its batch's scores, or it is computed elsewhere."""
        flight = stream.flights.pop(call)
        server, batch = flight.server, flight.batch
        server.landed(len(batch.ids))
        try:
            reply = self._calls.get(call)
            if len(reply.tokens) != len(batch.ids) or len(reply.sentiment) != len(batch.windows):
                raise LostServerError("gives scores of another batch")
        except LostServerError as error:
            stream.waiting.insert(0, batch)
            self._set_aside(stream, server, str(error))
        except CallRefusedError as error:
            yield from self._second_opinion(stream, flight, error)
        else:
            for wrong in stream.refused.pop(id(batch), {}):
                self._set_aside(stream, wrong, "fails over what another server computes")
            server.answered(reply.queued, reply.speed, self._calls.now())
            yield Logits(batch, reply.tokens.astype(np.float32), reply.sentiment)

    def _second_opinion(self, stream: _Stream, flight: _Flight, error: CallRefusedError) -> Iterator[Logits]:
        if self._local is not None:
            found = list(self._compute([flight.batch]))
            self._set_aside(stream, flight.server, f"fails over what this machine computes ({error})")
            yield from found
            return
        cause = error.__cause__ or error
        stream.refused.setdefault(id(flight.batch), {})[flight.server] = cause
        if not self._able(stream, flight.batch):
            raise cause
        stream.waiting.insert(0, flight.batch)

    def _able(self, stream: _Stream, batch: RaggedBatch) -> bool:
        """Whether a server that is there has not failed over the batch."""
        refused = stream.refused_by(batch)
        return any(server.ready and server not in refused for server in self._servers)

    def _set_aside(self, stream: _Stream, server: ServerState, why: str) -> None:
        """A server is at fault: what it has is computed elsewhere."""
        if not server.ready:
            return  # of one fault all its batches tell
        log.warning("an engine server %s; it is set aside for %.0f s", why, server.away_s)
        server.set_aside(self._calls.now())
        for call in [call for call, flight in stream.flights.items() if flight.server is server]:
            batch = stream.flights.pop(call).batch
            server.landed(len(batch.ids))
            stream.waiting.insert(0, batch)
