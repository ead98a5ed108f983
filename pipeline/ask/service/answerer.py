"""One replica: questions come in from many askers, and each gets its answer, which is known, counted or read.

Equal questions at the same time are one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from pipeline.ask.asker import Asker
from pipeline.ask.counting import count_answer
from pipeline.ask.intents import Intent, intents_of
from pipeline.ask.replies import counted_reply, passage_reply, read_reply
from pipeline.ask.service.answer_cache import AnswerCache, answer_key
from pipeline.ask.service.metrics import ServiceMetrics
from pipeline.ask.service.policy import QueueLimits, Refused
from pipeline.ask.service.reading_threads import AskedQuestion, QuestionFlight, ReadingThreads
from pipeline.errors import PipelineError

log = logging.getLogger("textmill")
T = TypeVar("T")
# Gets the passages of a question as soon as they are found.
Found = Callable[[list[dict[str, Any]]], object]
# Questions that may wait for being counted.
COUNTED_AT_ONCE = 32

# What is refused because as much waits as may.
FULL = Refused("full", 1.0)


@dataclass(frozen=True, slots=True)
class ServedAnswer:
    """What is said.

    Attributes:
        body: JSON in UTF-8, see `pipeline.ask.replies`.
        origin: Where it came from: read, counted, memory, redis or merged.
    """

    body: bytes
    origin: str


class RefusedError(PipelineError):
    """A question that is not answered now.

    Args:
        message: What the asker reads.
        refused: Why, and when to ask again.
    """

    exit_code = 3

    def __init__(self, message: str, refused: Refused = FULL) -> None:
        super().__init__(message)
        self.refused = refused

    @classmethod
    def of(cls, refused: Refused) -> RefusedError:
        """The error for a refusal of the queue.

        Args:
            refused: Why, and when to ask again.

        Returns:
            The error.
        """
        return cls("too many questions wait" if refused.why == "full" else "the answer would come too late", refused)


class Answerer:
    """Answers questions of many askers from one index; asked in one event loop.

    Args:
        asker: Of the index as it is now.
        cache: Where answers are remembered.
        metrics: What is told of it.
        limits: What may wait, and how long.
        clock: Gives seconds that never run backwards.

    Attributes:
        metrics: What is told of it.
    """

    def __init__(
        self,
        asker: Asker,
        cache: AnswerCache,
        metrics: ServiceMetrics | None = None,
        limits: QueueLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metrics = metrics or ServiceMetrics()
        self._cache, self._clock, self._limits = cache, clock, limits or QueueLimits()
        self._flights: dict[str, QuestionFlight] = {}
        self._counting, self._beside = started_pool(1, "textmill-ask-count"), started_pool(2, "textmill-ask-beside")
        self._counted = 0
        self.use(asker)
        self._threads = ReadingThreads(self._limits, self.metrics, clock, self._on_found, self._on_read, self._on_failed)

    @property
    def asker(self) -> Asker:
        """Of the index as it is now."""
        return self._asker

    def use(self, asker: Asker) -> None:
        """Answer from another generation of the index from now on; questions on their way keep theirs.

        Args:
            asker: Of that generation.
        """
        self._asker = asker
        self.metrics.generation.set(asker.index.generation)
        self.metrics.passages.set(asker.index.passages)

    async def ask(self, question: AskedQuestion, found: Found | None = None) -> ServedAnswer:
        """Answer a question.

        Args:
            question: What is asked.
            found: Gets the passages as soon as they are found, where they have to be read.

        Returns:
            What is said.

        Raises:
            RefusedError: It cannot be answered now, or not in time.
            ConfigError: It is empty, or there is no reader for its language.
            OutputError: The index or the output is not as it should be.
        """
        began = self._clock()
        try:
            reply = await self._answered(question, found)
        except RefusedError as error:
            self.metrics.refused.labels(question.priority.name.lower(), error.refused.why).inc()
            raise
        self.metrics.answers.labels(reply.origin).inc()
        self.metrics.seconds.labels("total", question.priority.name.lower()).observe(self._clock() - began)
        return reply

    async def beside(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do in another thread what may take a while, beside the questions.

        Args:
            work: What is done.
            *arguments: What it gets.

        Returns:
            What it gives.
        """
        return await asyncio.get_running_loop().run_in_executor(self._beside, work, *arguments)

    async def _answered(self, question: AskedQuestion, found: Found | None) -> ServedAnswer:
        asker = self._asker
        asked = (question.text, question.filters, question.read, question.spoken)
        reader = asker.reader_of(question.text)
        key = answer_key(*asked, asker.min_score, asker.index.digest, reader)
        if (body := self._cache.remembered(key)) is not None:
            return ServedAnswer(body, "memory")
        if key not in self._flights and self._cache.shared is not None:
            body = await self.beside(self._cache.fetch, key)
            if body is not None:
                return ServedAnswer(body, "redis")
        if (flight := self._flights.get(key)) is not None:
            deadline = self._deadline(question)
            self._threads.hasten(flight, question.priority, deadline)
            return ServedAnswer(await self._awaited(flight, deadline, found), "merged")
        if intents := intents_of(question.text, datetime.now(UTC).date()):
            counted = await self._count(question, intents, asker)
            if counted is not None:
                return ServedAnswer(counted, "counted")
        return ServedAnswer(await self._read(question, key, asker, found), "read")

    async def _count(self, question: AskedQuestion, intents: Sequence[Intent], asker: Asker) -> bytes | None:
        """What is counted is not remembered: the tags may be newer than the index that an answer is filed under."""
        if self._counted >= COUNTED_AT_ONCE:
            raise RefusedError.of(FULL)
        self._counted += 1
        try:
            counted = await asyncio.get_running_loop().run_in_executor(
                self._counting, count_answer, intents, asker.index.tags, question.filters
            )
        finally:
            self._counted -= 1
        if counted is None:
            return None
        return _body(counted_reply(question.text, counted, asker.index.generation))

    async def _read(self, question: AskedQuestion, key: str, asker: Asker, found: Found | None) -> bytes:
        loop, deadline = asyncio.get_running_loop(), self._deadline(question)
        futures = loop.create_future(), loop.create_future()
        flight = QuestionFlight(question, key, asker, self._clock(), deadline, loop, *futures)
        if (refused := self._threads.offer(flight)) is not None:
            raise RefusedError.of(refused)
        self._flights[key] = flight
        flight.answer.add_done_callback(lambda _: self._flights.pop(key, None))
        return await self._awaited(flight, deadline, found)

    async def _awaited(self, flight: QuestionFlight, deadline: float, found: Found | None) -> bytes:
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock())):
                if found is not None:
                    found(await asyncio.shield(flight.found))
                body: bytes = await asyncio.shield(flight.answer)
                return body
        except TimeoutError as error:
            raise RefusedError.of(Refused("late", 1.0)) from error

    def _deadline(self, question: AskedQuestion) -> float:
        own = question.deadline_s
        return self._clock() + (own if own is not None else self._limits.deadline_s[question.priority])

    def _on_found(self, flight: QuestionFlight) -> None:
        assert flight.reading is not None
        passages = [passage_reply(passage) for passage in flight.reading.passages]
        flight.loop.call_soon_threadsafe(_settle, flight.found, passages)

    def _on_read(self, flight: QuestionFlight) -> None:
        assert flight.reading is not None
        body = _body(read_reply(flight.question.text, flight.reading.result()))
        self._cache.remember(flight.key, body)
        if self._cache.shared is not None:
            self._beside.submit(self._cache.store, flight.key, body, flight.read_s)
        flight.loop.call_soon_threadsafe(_settle, flight.answer, body)

    def _on_failed(self, flight: QuestionFlight, why: Exception | Refused) -> None:
        error = RefusedError.of(why) if isinstance(why, Refused) else why
        if not isinstance(error, PipelineError):
            log.error("a question could not be answered: %s: %s", type(error).__name__, error)
        for future in (flight.found, flight.answer):
            flight.loop.call_soon_threadsafe(_settle, future, error)

    def close(self) -> None:
        """Answer nothing more; questions that wait are refused."""
        self._threads.close()
        self._counting.shutdown(cancel_futures=True)
        self._beside.shutdown()


def started_pool(count: int, name: str) -> ThreadPoolExecutor:
    """Make a pool whose threads are there from the beginning: a question waits for none.

    Args:
        count: Number of threads.
        name: What their names begin with.

    Returns:
        The pool.
    """
    pool, there = ThreadPoolExecutor(count, name), threading.Barrier(count + 1)
    for _ in range(count):
        pool.submit(there.wait)
    there.wait()
    return pool


def _body(reply: dict[str, Any]) -> bytes:
    return json.dumps(reply, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if future.done():
        return
    if isinstance(value, Exception):
        future.set_exception(value)
        future.exception()  # whoever waits gets it; nobody need
    else:
        future.set_result(value)
