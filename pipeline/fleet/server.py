"""An engine in an actor, on a GPU node: the batches of many workers are computed together."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.runtime.batches import RaggedBatch
from models.runtime.engines import Engine

# Requests are computed together up to so many tokens; one that is larger is computed alone.
BUDGET_TOKENS = 65_536
# The speed of the last so many seconds of work counts.
MEMORY_S = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """The logits of one request, `tokens` float16 [n, K] and `sentiment` float32 [B, 3]; and how the server does: tokens that
    wait, tokens/s (0 until it is known).
    """

    tokens: npt.NDArray[np.float16]
    sentiment: npt.NDArray[np.float32]
    queued: int
    speed: float


@dataclass(slots=True)
class _Request:
    lang: str
    batch: RaggedBatch
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Reply]


class EngineServer:
    """`infer` may be called by many at once; one thread computes what has come, together where that costs no padding."""

    def __init__(self, model: str, engine: str, threads: int | None) -> None:
        from models.runtime.tagger import load

        loaded = load(model, engine=engine, threads=threads)  # type: ignore[arg-type]
        self._engines: dict[str, Engine] = {tagger.lang: tagger.engine for tagger in loaded.each}
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._queued = 0
        self._tokens = self._seconds = 0.0
        threading.Thread(target=self._work, name="textmill-server", daemon=True).start()

    async def node(self) -> str:
        """The node that it is on; answers when the models are loaded."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    async def infer(self, lang: str, ids: Any, cases: Any, offsets: Any) -> Reply:
        """The logits of a ragged batch by the model of that language; arrays as in RaggedBatch. Raises what the engine raises."""
        loop = asyncio.get_running_loop()
        batch = RaggedBatch(ids, cases, offsets, np.arange(len(offsets) - 1))
        request = _Request(lang, batch, loop, loop.create_future())
        self._queued += len(ids)
        self._requests.put(request)
        return await request.answer

    def _work(self) -> None:
        left: _Request | None = None
        while True:
            first = left or self._requests.get()
            together, tokens, left = [first], len(first.batch.ids), None
            while not self._requests.empty() and tokens < BUDGET_TOKENS:
                following = self._requests.get()
                if following.lang != first.lang or tokens + len(following.batch.ids) > BUDGET_TOKENS:
                    left = following
                    break
                together.append(following)
                tokens += len(following.batch.ids)
            self._compute(together, tokens)

    def _compute(self, together: Sequence[_Request], tokens: int) -> None:
        began = time.perf_counter()
        try:
            engine = self._engines[together[0].lang]
            found = _flat(engine, together) if getattr(engine, "flat", False) else _each(engine, together)
        except Exception as error:  # noqa: BLE001 - told to those who asked
            self._queued -= tokens
            for request in together:
                request.loop.call_soon_threadsafe(_fail, request.answer, error)
            return
        spent = time.perf_counter() - began
        keep = max(0.0, 1.0 - spent / MEMORY_S)
        self._tokens, self._seconds = self._tokens * keep + tokens, self._seconds * keep + spent
        self._queued -= tokens
        speed = self._tokens / self._seconds if self._seconds else 0.0
        for request, (logits, sentiment) in zip(together, found, strict=True):
            reply = Reply(logits.astype(np.float16), sentiment, self._queued, speed)
            request.loop.call_soon_threadsafe(_answer, request.answer, reply)


def _answer(future: asyncio.Future[Reply], reply: Reply) -> None:
    if not future.done():
        future.set_result(reply)


def _fail(future: asyncio.Future[Reply], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


Logits = list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]


def _each(engine: Engine, together: Sequence[_Request]) -> Logits:
    """Every request as a batch of its own: a padded one would pay for the longest of all."""
    scores = {id(found.batch): found for found in engine.infer([request.batch for request in together])}
    return [(scores[id(request.batch)].tokens, scores[id(request.batch)].sentiment) for request in together]


def _flat(engine: Engine, together: Sequence[_Request]) -> Logits:
    """All requests as one batch, which costs no padding where the engine computes flat arrays."""
    sizes = np.array([len(request.batch.ids) for request in together])
    counts = np.array([len(request.batch.windows) for request in together])
    begins = np.cumsum(sizes) - sizes
    offsets = np.concatenate([request.batch.offsets[:-1] + begin for request, begin in zip(together, begins, strict=True)])
    batch = RaggedBatch(
        np.concatenate([request.batch.ids for request in together]),
        np.concatenate([request.batch.cases for request in together]),
        np.append(offsets, sizes.sum()),
        np.arange(counts.sum()),
    )
    (scores,) = engine.infer([batch])
    tokens = np.split(scores.tokens, np.cumsum(sizes)[:-1])
    return list(zip(tokens, np.split(scores.sentiment, np.cumsum(counts)[:-1]), strict=True))
