"""The threads that search and read: equal questions that come while one is searched, and what is said at the end."""

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest

from pipeline.ask.reading import QuestionReading
from pipeline.ask.service.metrics import ServiceMetrics
from pipeline.ask.service.policy import QuestionClass, QueueLimits, Refused
from pipeline.ask.service.reading_threads import AskedQuestion, QuestionFlight, ReadingThreads


@pytest.fixture
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


class HeldAsker:
    """Looks for passages as long as it is held; what it finds has nothing to be read."""

    def __init__(self):
        self.index = SimpleNamespace(generation=1)
        self.begun, self.held = threading.Event(), threading.Event()

    def begin(self, question, filters, read, spoken):
        self.begun.set()
        assert self.held.wait(30)
        if question == "wrong":
            raise ValueError("a bug")
        return QuestionReading(question, [], 1, 0.5)


def threads_of(ended):
    def end(flight, why="answered"):
        ended.append((flight.key, why))

    limits = QueueLimits(waiting_tokens=1000)
    return ReadingThreads(limits, ServiceMetrics(), time.monotonic, lambda flight: None, end, end)


def flight(loop, key, asker, deadline_s=30.0):
    now = time.monotonic()
    futures = loop.create_future(), loop.create_future()
    question = AskedQuestion(key, priority=QuestionClass.LOW)
    return QuestionFlight(question, key, asker, now, now + deadline_s, loop, *futures)


def wait_for(ended, count):
    until = time.monotonic() + 30
    while len(ended) < count:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_an_equal_question_hastens_one_that_is_looked_for_just_now(loop):
    ended, asker = [], HeldAsker()
    threads = threads_of(ended)
    try:
        one = flight(loop, "a", asker)
        assert threads.offer(one) is None
        assert asker.begun.wait(30)
        threads.hasten(one, QuestionClass.HIGH, one.deadline + 5)
        assert (one.waiting.priority, one.waiting.deadline) == (QuestionClass.HIGH, one.deadline + 5)
        asker.held.set()
        wait_for(ended, 1)
        assert ended == [("a", "answered")]
    finally:
        asker.held.set()
        threads.close()


def test_one_that_fails_is_told_and_the_others_go_on_and_the_end_refuses_who_waits(loop):
    ended, asker = [], HeldAsker()
    asker.held.set()
    threads = threads_of(ended)
    try:
        for key in ("wrong", "right"):
            assert threads.offer(flight(loop, key, asker)) is None
        wait_for(ended, 2)
        assert [(key, str(why)) for key, why in ended] == [("wrong", "a bug"), ("right", "answered")]
        asker.held.clear()
        asker.begun.clear()
        assert threads.offer(flight(loop, "held", asker)) is None
        assert asker.begun.wait(30)
        assert threads.offer(flight(loop, "waits", asker)) is None
        closing = threading.Thread(target=threads.close)
        closing.start()
        wait_for(ended, 4)
        assert {(key, why.why) for key, why in ended[2:]} == {("held", "full"), ("waits", "full")}
        asker.held.set()
        closing.join()
        assert threads.offer(flight(loop, "late", asker)) == Refused("full", 1.0)
    finally:
        asker.held.set()
        threads.close()
