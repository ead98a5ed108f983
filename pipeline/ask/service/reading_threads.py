"""Two threads that answer the questions of a replica: one finds passages, one reads those of several questions together.

While one question's passages are read, the next one's are looked for; never for more than a few, so that who comes later with a
higher class still goes before.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.ask.asker import Asker
from pipeline.ask.reading import FIRST, READ, QuestionReading
from pipeline.ask.search import Filters
from pipeline.ask.service.metrics import ServiceMetrics
from pipeline.ask.service.policy import QuestionClass, QuestionQueue, QueueLimits, Refused, Waiting

# Tokens that a passage has before it is known.
PASSAGE_TOKENS = 90


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


@dataclass(eq=False, slots=True)
class QuestionFlight:
    """A question that is being answered, for all who ask it.

    Attributes:
        key: What equal questions have in common.
        asker: Of the index that it is answered from.
        arrived: When it came, in seconds.
        deadline: When its answer is of no use any more.
        loop: Where its askers wait.
        found: The passages, when they are found.
        answer: The answer.
        waiting: Its place in the queue.
        reading: Its way through its passages, once they are found.
        read_s: Seconds that reading took.
    """

    question: AskedQuestion
    key: str
    asker: Asker
    arrived: float
    deadline: float
    loop: asyncio.AbstractEventLoop
    found: asyncio.Future[Any]
    answer: asyncio.Future[Any]
    waiting: Waiting = field(init=False)
    reading: QuestionReading | None = None
    read_s: float = 0.0

    def __post_init__(self) -> None:
        """Predict the tokens that are read of it first."""
        tokens = FIRST * (PASSAGE_TOKENS + _tokens(self.question.text))
        self.waiting = Waiting(self.key, self.question.priority, tokens, self.arrived, self.deadline)


class ReadingThreads:
    """Answers questions, the next ones first.

    Args:
        limits: What may wait, and how long.
        metrics: What is told of it.
        clock: Gives seconds that never run backwards.
        found: Gets a question whose passages are found; called in a thread of this object, as the others are.
        answered: Gets a question whose passages are read.
        failed: Gets a question that is not answered, and why: an error, or that it would be too late.
    """

    def __init__(
        self,
        limits: QueueLimits,
        metrics: ServiceMetrics,
        clock: Callable[[], float],
        found: Callable[[QuestionFlight], object],
        answered: Callable[[QuestionFlight], object],
        failed: Callable[[QuestionFlight, Exception | Refused], object],
    ) -> None:
        self._metrics, self._clock = metrics, clock
        self._found, self._answered, self._failed = found, answered, failed
        self._ahead = 2 * limits.batch_tokens
        self._queue, self._ready = QuestionQueue(replace(limits, batch_tokens=1)), QuestionQueue(limits)
        self._flights: dict[str, QuestionFlight] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=work, name=f"textmill-ask-{name}", daemon=True)
            for name, work in (("search", self._search), ("read", self._read))
        ]
        for thread in self._threads:
            thread.start()

    def offer(self, flight: QuestionFlight) -> Refused | None:
        """Let a question in, or refuse it.

        Args:
            flight: The question.

        Returns:
            Why it is refused; None if it is going to be answered, or to fail.
        """
        with self._changed:
            if self._closed:
                return Refused("full", 1.0)
            refused = self._queue.offer(flight.waiting, flight.arrived)
            if refused is None:
                self._flights[flight.key] = flight
                self._changed.notify_all()
            return refused

    def hasten(self, flight: QuestionFlight, priority: QuestionClass, deadline: float) -> None:
        """Let a question answer an equal one too, which may be of a higher class or have more time.

        Args:
            flight: The question.
            priority: Class of the equal one.
            deadline: Its deadline.
        """
        with self._changed:
            queue = next((one for one in (self._queue, self._ready) if one.find(flight.key) is flight.waiting), None)
            if queue is not None:
                queue.hasten(flight.waiting, priority, deadline)
                return
            # It is looked for or read just now, and may have to wait once more.
            flight.waiting.priority = min(priority, flight.waiting.priority)
            flight.waiting.deadline = max(deadline, flight.waiting.deadline)

    def _next(self, queue: QuestionQueue, may: Callable[[], bool]) -> list[QuestionFlight] | None:
        """Wait for the questions that are next in a queue; None at the end."""
        with self._changed:
            while not self._closed and not (len(queue) and may()):
                self._changed.wait()
            if self._closed:
                return None
            batch, late = queue.take(self._clock())
            flights = [self._flights[str(one.key)] for one in batch]
            gone = [self._flights.pop(str(one.key)) for one in late]
            self._metrics.waiting.set(len(self._queue) + len(self._ready))
            self._metrics.waiting_tokens.set(self._queue.tokens + self._ready.tokens)
        for one in gone:
            self._failed(one, Refused("late", 1.0))
        return flights

    def _search(self) -> None:
        while (flights := self._next(self._queue, lambda: self._ready.tokens < self._ahead)) is not None:
            for flight in flights:
                began = self._clock()
                question, stage = flight.question, self._stage(flight)
                stage("wait", began - flight.arrived)
                try:
                    flight.reading = flight.asker.begin(question.text, question.filters, question.read, question.spoken)
                except Exception as error:  # noqa: BLE001 - whatever it is, its askers are told and the others go on
                    self._end(flight, error)
                    continue
                stage("search", self._clock() - began)
                self._found(flight)
                self._go_on(flight)

    def _read(self) -> None:
        ended = self._clock()
        while (flights := self._next(self._ready, lambda: True)) is not None:
            began = self._clock()
            readings = [flight.reading for flight in flights if flight.reading is not None]
            tokens = sum(flight.waiting.tokens for flight in flights)
            self._metrics.batch_questions.observe(len(flights))
            self._metrics.batch_passages.observe(sum(len(reading.wanted()) for reading in readings))
            try:
                if flights:
                    flights[0].asker.read(readings)
            except Exception as error:  # noqa: BLE001 - as in _search
                for flight in flights:
                    self._end(flight, error)
                continue
            now = self._clock()
            with self._changed:
                # While questions wait, what lies between two batches is time that they take.
                seconds = now - (ended if len(self._queue) else began)
                for queue in (self._queue, self._ready):
                    queue.served(tokens, seconds)
            ended = now
            for flight in flights:
                flight.read_s += now - began
                self._go_on(flight)

    def _go_on(self, flight: QuestionFlight) -> None:
        """A question with passages to be read waits for that; else it is answered."""
        assert flight.reading is not None
        wanted = flight.reading.wanted()
        if wanted:
            tokens = sum(_tokens(flight.question.text) + _tokens(one.text) for one in wanted)
            with self._changed:
                self._ready.rejoin(flight.waiting, tokens)
                self._changed.notify_all()
            return
        self._stage(flight)("read", flight.read_s)
        self._forget(flight)
        self._answered(flight)

    def _stage(self, flight: QuestionFlight) -> Callable[[str, float], None]:
        priority = flight.question.priority.name.lower()
        return lambda stage, seconds: self._metrics.seconds.labels(stage, priority).observe(seconds)

    def _end(self, flight: QuestionFlight, error: Exception) -> None:
        self._forget(flight)
        self._failed(flight, error)

    def _forget(self, flight: QuestionFlight) -> None:
        with self._changed:
            self._flights.pop(flight.key, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Answer nothing more, and end the threads; questions that wait fail."""
        with self._changed:
            self._closed = True
            gone = list(self._flights.values())
            self._flights.clear()
            self._changed.notify_all()
        for one in gone:
            self._failed(one, Refused("full", 1.0))
        for thread in self._threads:
            thread.join()


def _tokens(text: str) -> int:
    """A guess: a word piece has about four letters, a Chinese character is one."""
    return 2 + (len(text) if text and ord(text[len(text) // 2]) > 0x2E80 else len(text) // 4)
