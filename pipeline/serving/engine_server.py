"""An engine in an actor, on a GPU node: the batches of many workers are computed together."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.runtime.batches import RaggedBatch
from models.runtime.engines import Engine
from pipeline.errors import UnavailableError

log = logging.getLogger("textmill")
# Requests are computed together up to so many tokens; one that is larger is computed alone.
BUDGET_TOKENS = 65_536
# The speed of the last so many seconds of work counts.
MEMORY_S = 10.0
# A text that every model must be able to read.
PLAIN = "A plain sentence."
# So often Ray starts a server anew whose engine is broken, or that was killed.
RESTARTS = 10
# Answers have so long to leave before the process of a broken engine ends; those that do not are lost with it.
LEAVE_S = 1.0


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request: the logits, and how busy the server is.

    Attributes:
        tokens: Logits of the tokens, float16, shape (n, K).
        sentiment: Logits of the sequences' sentiment, float32, shape (B, 3).
        queued: Tokens that wait at the server.
        speed: Tokens/s that it computes; 0 until that is known.
    """

    tokens: npt.NDArray[np.float16]
    sentiment: npt.NDArray[np.float32]
    queued: int
    speed: float


@dataclass(slots=True)
class Request:
    """A batch that waits to be computed, and who waits for it.

    Attributes:
        lang: Language of the model.
        loop: Event loop of the answer.
        answer: Gets the scores, or the error.
    """

    lang: str
    batch: RaggedBatch
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Reply]


class EngineServer:
    """An engine for many callers at once: one thread computes what has come, together where that costs no padding.

    An error is reported only to the request that causes it. After one the engine has to compute a plain text, since an error of
    CUDA, for example, stays until the process ends. If it cannot, all requests that wait fail with UnavailableError, and the
    process ends itself, so that Ray starts it anew.

    Args:
        model: Name of a model or its folder, as for `models.runtime.load.load`.
        engine: Name of the engine, as for `load`.
        threads: Threads of the engine; None for all CPUs that the process may use.

    Raises:
        ModelMissingError: There is no such model.
        ModelDamagedError: A file of the model is damaged.
        EngineMissingError: There is no such engine, or a package that it needs is missing.
    """

    def __init__(self, model: str, engine: str, threads: int | None) -> None:
        from models.runtime.load import load

        taggers = load(model, engine=engine, threads=threads).each  # type: ignore[arg-type]
        plain = {tagger.lang: next(tagger.encode([PLAIN])[2]) for tagger in taggers}
        self._start({tagger.lang: tagger.engine for tagger in taggers}, plain)

    def _start(self, engines: Mapping[str, Engine], plain: Mapping[str, RaggedBatch]) -> None:
        """`plain`: a small batch that works, of every language."""
        self._engines, self._plain = engines, plain
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._put = self._done = 0  # tokens; each is written by one thread
        self._tokens = self._seconds = 0.0
        self._broken: UnavailableError | None = None
        threading.Thread(target=self._work, name="textmill-server", daemon=True).start()

    async def node(self) -> str:
        """Tell the node that the server is on; answers only when the models are loaded.

        Returns:
            Ray's id of the node.
        """
        import ray

        return str(ray.get_runtime_context().get_node_id())

    async def infer(self, lang: str, ids: Any, cases: Any, offsets: Any) -> Reply:
        """Compute the logits of a ragged batch; arrays as in RaggedBatch.

        Args:
            lang: Language whose model computes it.
            ids: Token ids, int32, shape (n,).
            cases: Case of each token, uint8, shape (n,).
            offsets: Where each sequence begins and the last one ends, int64, shape (B + 1,).

        Returns:
            The logits, and how busy the server is.

        Raises:
            UnavailableError: The engine is broken.
            Exception: Whatever the engine raises over this batch; KeyError if the server has no model of the language.
        """
        loop = asyncio.get_running_loop()
        batch = RaggedBatch(ids, cases, offsets, np.arange(len(offsets) - 1))
        request = Request(lang, batch, loop, loop.create_future())
        self._put += len(ids)
        self._requests.put(request)
        if self._broken is not None:
            raise self._broken
        return await request.answer

    def _work(self) -> None:
        left: Request | None = None
        try:
            while self._broken is None:
                first = left or self._requests.get()
                together, tokens, left = [first], len(first.batch.ids), None
                while not self._requests.empty() and tokens < BUDGET_TOKENS:
                    following = self._requests.get()
                    if following.lang != first.lang or tokens + len(following.batch.ids) > BUDGET_TOKENS:
                        left = following
                        break
                    together.append(following)
                    tokens += len(following.batch.ids)
                self._compute(together)
            open_ones = [left] if left else []
            while not self._requests.empty():
                open_ones.append(self._requests.get())
            self._fail(open_ones, self._broken)
        finally:
            self._end()  # without this thread the server would never answer

    def _compute(self, together: Sequence[Request]) -> None:
        """Answer requests of one language; in case of an error each alone."""
        began = time.perf_counter()
        try:
            engine = self._engines[together[0].lang]
            found = compute_flat(engine, together) if getattr(engine, "flat", False) else _each(engine, together)
            halves = [(logits.astype(np.float16), sentiment) for logits, sentiment in found]
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            self._test(together[0].lang, error)
            if self._broken is not None:
                self._fail(together, self._broken)
            elif len(together) == 1:
                self._fail(together, error)
            else:
                for request in together:
                    self._compute([request])
            return
        spent, tokens = time.perf_counter() - began, sum(len(request.batch.ids) for request in together)
        keep = max(0.0, 1.0 - spent / MEMORY_S)
        self._tokens, self._seconds = self._tokens * keep + tokens, self._seconds * keep + spent
        self._done += tokens
        queued, speed = self._put - self._done, self._tokens / self._seconds if self._seconds else 0.0
        for request, (logits, sentiment) in zip(together, halves, strict=True):
            request.loop.call_soon_threadsafe(_answer, request.answer, Reply(logits, sentiment, queued, speed))

    def _test(self, lang: str, error: Exception) -> None:
        """Whether the engine still works, after an error of it."""
        if self._broken is not None or lang not in self._engines:
            return
        try:
            list(self._engines[lang].infer([self._plain[lang]]))
        except Exception as again:
            log.exception("the engine is broken")
            why = f"the engine is broken ({type(error).__name__}: {error}; then of a plain text {type(again).__name__}: {again})"
            self._broken = UnavailableError("server", why)

    def _fail(self, requests: Iterable[Request], error: Exception) -> None:
        for request in requests:
            self._done += len(request.batch.ids)
            request.loop.call_soon_threadsafe(_raise, request.answer, error)

    def _end(self) -> None:
        time.sleep(LEAVE_S)
        os._exit(1)


def _answer(future: asyncio.Future[Reply], reply: Reply) -> None:
    if not future.done():
        future.set_result(reply)


def _raise(future: asyncio.Future[Reply], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


Logits = list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]


def _each(engine: Engine, together: Sequence[Request]) -> Logits:
    """Every request as a batch of its own: a padded one would pay for the longest of all."""
    scores = {id(found.batch): found for found in engine.infer([request.batch for request in together])}
    return [(scores[id(request.batch)].tokens, scores[id(request.batch)].sentiment) for request in together]


def compute_flat(engine: Engine, together: Sequence[Request]) -> Logits:
    """Compute all requests as one batch, which costs no padding where the engine computes flat arrays.

    Args:
        engine: The engine.
        together: Requests of one model.

    Returns:
        Tokens' and texts' logits of each request.
    """
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
