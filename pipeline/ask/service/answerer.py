"""One replica: questions come in from many askers, are read together by one thread, and each gets its answer.

Equal questions at the same time are one. What is asked next, and what is refused, `QuestionQueue` says.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pipeline.ask.asker import Asker
from pipeline.ask.counting import count_answer, intent_of
from pipeline.ask.reading import FIRST, READ, QuestionReading
from pipeline.ask.replies import counted_reply, passage_reply, read_reply
from pipeline.ask.search import Filters
from pipeline.ask.service.answer_cache import AnswerCache, answer_key
from pipeline.ask.service.metrics import ServiceMetrics
from pipeline.ask.service.policy import QuestionClass, QuestionQueue, QueueLimits, Refused, Waiting
from pipeline.errors import PipelineError

log = logging.getLogger("textmill")
T = TypeVar("T")
# Gets the passages of a question as soon as they are found.
Found = Callable[[list[dict[str, Any]]], object]
# Tokens that a passage has before any is known, and questions that may wait for being counted.
PASSAGE_TOKENS = 90
COUNTED_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """What is asked.

    Attributes:
        text: The question, as it is read.
        filters: Which documents may answer.
        read: Passages that are read at most.
        priority: Class of the question.
        deadline_s: Seconds in which it is to be answered; None takes those of its class.
        spoken: Whether it was spoken.
    """

    text: str
    filters: Filters = field(default_factory=Filters)
    read: int = READ
    priority: QuestionClass = QuestionClass.NORMAL
    deadline_s: float | None = None
    spoken: bool = False


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
        refused: Why, and when to ask again.
    """

    exit_code = 3

    def __init__(self, refused: Refused) -> None:
        super().__init__("too many questions wait" if refused.why == "full" else "the answer would come too late")
        self.refused = refused


@dataclass(eq=False, slots=True)
class _Flight:
    """A question that is being answered, for all who ask it."""

    question: AskedQuestion
    key: str
    asker: Asker
    waiting: Waiting
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[bytes]
    found: asyncio.Future[list[dict[str, Any]]]
    reading: QuestionReading | None = None
    read_s: float = 0.0


class Answerer:
    """Answers questions of many askers from one index.

    Args:
        asker: Of the index as it is now.
        readers_of: Gives the reader of a question's language.
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
        self._cache, self._clock = cache, clock
        self._limits = limits or QueueLimits()
        self._queue = QuestionQueue(self._limits)
        self._flights: dict[str, _Flight] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._counting = _threads(1, "textmill-ask-count")
        self._beside = _threads(2, "textmill-ask-beside")
        self._counted = 0
        self.use(asker)
        self._thread = threading.Thread(target=self._work, name="textmill-ask-read", daemon=True)
        self._thread.start()

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
        reply = await self._answered(question, found)
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
        reader = asker.reader_of(question.text)
        key = answer_key(
            question.text, question.filters, question.read, question.spoken, asker.min_score, asker.index.digest, reader
        )
        if (body := self._cache.remembered(key)) is not None:
            return ServedAnswer(body, "memory")
        if (flight := self._flights.get(key)) is not None:
            return ServedAnswer(await self._joined(flight, question, found), "merged")
        if self._cache.shared is not None:
            body = await self.beside(self._cache.fetch, key)
            if body is not None:
                return ServedAnswer(body, "redis")
            if (flight := self._flights.get(key)) is not None:
                return ServedAnswer(await self._joined(flight, question, found), "merged")
        if "://" not in asker.index.output and (intent := intent_of(question.text)) is not None:
            counted = await self._count(question, intent, key, asker)
            if counted is not None:
                return ServedAnswer(counted, "counted")
        return ServedAnswer(await self._read(question, key, asker, found), "read")

    async def _count(self, question: AskedQuestion, intent: Any, key: str, asker: Asker) -> bytes | None:
        if self._counted >= COUNTED_AT_ONCE:
            raise self._refused(Refused("full", 1.0), question.priority)
        self._counted += 1
        try:
            work = asyncio.get_running_loop().run_in_executor(
                self._counting, count_answer, intent, asker.index.output, question.filters
            )
            counted = await work
        finally:
            self._counted -= 1
        if counted is None:
            return None
        body = _body(counted_reply(question.text, counted, asker.index.generation))
        self._beside.submit(self._cache.store, key, body, 0.0)
        return body

    async def _read(self, question: AskedQuestion, key: str, asker: Asker, found: Found | None) -> bytes:
        now = self._clock()
        loop = asyncio.get_running_loop()
        tokens = FIRST * (PASSAGE_TOKENS + len(question.text) // 4)
        deadline = now + self._seconds(question)
        waiting = Waiting(key, question.priority, tokens, now, deadline)
        flight = _Flight(question, key, asker, waiting, loop, loop.create_future(), loop.create_future())
        with self._changed:
            if self._closed:
                raise self._refused(Refused("full", 1.0), question.priority)
            refused = self._queue.offer(waiting, now)
            if refused is None:
                self._flights[key] = flight
                self._changed.notify()
        if refused is not None:
            raise self._refused(refused, question.priority)
        return await self._awaited(flight, deadline, question.priority, found)

    async def _joined(self, flight: _Flight, question: AskedQuestion, found: Found | None) -> bytes:
        deadline = self._clock() + self._seconds(question)
        with self._changed:
            if self._queue.find(flight.key) is flight.waiting:
                self._queue.hasten(flight.waiting, question.priority, deadline)
        return await self._awaited(flight, deadline, question.priority, found)

    async def _awaited(self, flight: _Flight, deadline: float, priority: QuestionClass, found: Found | None) -> bytes:
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock())):
                if found is not None:
                    found(await asyncio.shield(flight.found))
                return await asyncio.shield(flight.answer)
        except TimeoutError as error:
            raise self._refused(Refused("late", 1.0), priority) from error

    def _seconds(self, question: AskedQuestion) -> float:
        return question.deadline_s if question.deadline_s is not None else self._limits.deadline_s[question.priority]

    def _refused(self, refused: Refused, priority: QuestionClass) -> RefusedError:
        self.metrics.refused.labels(priority.name.lower(), refused.why).inc()
        return RefusedError(refused)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not len(self._queue) and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                batch, late = self._queue.take(self._clock())
                flights = [self._flights[str(one.key)] for one in batch]
                gone = [self._flights.pop(str(one.key)) for one in late]
                self.metrics.waiting.set(len(self._queue))
                self.metrics.waiting_tokens.set(self._queue.tokens)
            for one in gone:
                self._fail(one, self._refused(Refused("late", 1.0), one.question.priority))
            if flights:
                self._serve(flights)

    def _serve(self, flights: list[_Flight]) -> None:
        began = self._clock()
        ready = [flight for flight in flights if self._begun(flight)]
        wanted = [flight for flight in ready if flight.reading is not None and flight.reading.wanted()]
        readings = [flight.reading for flight in wanted if flight.reading is not None]
        passages = sum(len(reading.wanted()) for reading in readings)
        tokens = sum(flight.waiting.tokens for flight in wanted)
        try:
            if readings:
                wanted[0].asker.read(readings)
        except Exception as error:  # noqa: BLE001 - whatever it is, its askers are told and the others go on
            for flight in wanted:
                self._ended(flight)
                self._fail(flight, error)
            ready = [flight for flight in ready if flight not in wanted]
        seconds = self._clock() - began
        self.metrics.batch_questions.observe(len(flights))
        self.metrics.batch_passages.observe(passages)
        with self._changed:
            self._queue.served(tokens, seconds)
        for flight in ready:
            self._on(flight, seconds)

    def _begun(self, flight: _Flight) -> bool:
        """Whether a question's passages are found; if not, its askers were told why."""
        if flight.reading is not None:
            return True
        began = self._clock()
        question, priority = flight.question, flight.question.priority.name.lower()
        self.metrics.seconds.labels("wait", priority).observe(began - flight.waiting.arrived)
        try:
            flight.reading = flight.asker.begin(question.text, question.filters, question.read, question.spoken)
        except Exception as error:  # noqa: BLE001 - as in _serve
            self._ended(flight)
            self._fail(flight, error)
            return False
        self.metrics.seconds.labels("search", priority).observe(self._clock() - began)
        passages = [passage_reply(passage) for passage in flight.reading.passages]
        flight.loop.call_soon_threadsafe(_settle, flight.found, passages)
        return True

    def _on(self, flight: _Flight, seconds: float) -> None:
        """A question whose passages were read goes back into the queue, or its answer goes out."""
        assert flight.reading is not None
        flight.read_s += seconds
        left = flight.reading.wanted()
        if left:
            with self._changed:
                self._queue.rejoin(flight.waiting, sum(_tokens(flight.question.text, one.text) for one in left))
            return
        body = _body(read_reply(flight.question.text, flight.reading.result()))
        self.metrics.seconds.labels("read", flight.question.priority.name.lower()).observe(flight.read_s)
        self._beside.submit(self._cache.store, flight.key, body, flight.read_s)
        self._ended(flight)
        flight.loop.call_soon_threadsafe(_settle, flight.answer, body)

    def _ended(self, flight: _Flight) -> None:
        with self._changed:
            self._flights.pop(flight.key, None)

    def _fail(self, flight: _Flight, error: Exception) -> None:
        if not isinstance(error, PipelineError):
            log.error("a question could not be answered: %s: %s", type(error).__name__, error)
        flight.loop.call_soon_threadsafe(_settle, flight.found, error)
        flight.loop.call_soon_threadsafe(_settle, flight.answer, error)

    def close(self) -> None:
        """Answer nothing more, and end the thread that reads; questions that wait are refused."""
        with self._changed:
            self._closed = True
            gone = list(self._flights.values())
            self._flights.clear()
            self._changed.notify_all()
        for one in gone:
            self._fail(one, RefusedError(Refused("full", 1.0)))
        self._thread.join()
        self._counting.shutdown(cancel_futures=True)
        self._beside.shutdown()


def _threads(count: int, name: str) -> ThreadPoolExecutor:
    """A pool whose threads are there from the beginning: a question waits for none."""
    pool, there = ThreadPoolExecutor(count, name), threading.Barrier(count + 1)
    for _ in range(count):
        pool.submit(there.wait)
    there.wait()
    return pool


def _tokens(question: str, passage: str) -> int:
    """A guess: a word piece has about four letters, a Chinese character is one."""
    return 3 + sum(len(text) if text and ord(text[len(text) // 2]) > 0x2E80 else len(text) // 4 for text in (question, passage))


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
