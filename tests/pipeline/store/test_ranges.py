"""Remote files as streams: the bytes of the file whatever is asked for, and several requests at once."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UnavailableError
from pipeline.store import ranges
from pipeline.store.ranges import buffered
from pipeline.store.timeouts import CallTimeoutError, call_with_timeout

DATA = bytes(i * 7 % 251 for i in range(5000))
CALLS = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 3000)),
    st.tuples(st.just("seek"), st.integers(0, 5200)),
    st.tuples(st.just("line"), st.integers(-1, 300)),
)


@pytest.fixture(scope="module")
def pool():
    all_there = Barrier(4)
    with ThreadPoolExecutor(4) as made:
        list(made.map(lambda _: all_there.wait(), range(4)))  # its threads are the fixture's, not those of a test
        yield made


@given(st.lists(CALLS, max_size=25), st.one_of(st.none(), st.tuples(st.integers(0, 2500), st.integers(2501, 5000))))
def test_any_order_of_calls_agrees_with_the_bytes(pool, calls, span):
    before = ranges.SMALLEST, ranges.LARGEST, ranges._BUFFER
    ranges.SMALLEST, ranges.LARGEST, ranges._BUFFER = 64, 512, 100
    asked = []

    def read(start, length):
        asked.append((start, length))
        return DATA[start : start + length]

    try:
        with buffered(read, len(DATA), span, pool, 3) as stream, io.BytesIO(DATA) as model:
            for call, number in calls:
                if call == "seek":
                    assert stream.seek(number) == model.seek(number)
                else:
                    name = "read" if call == "read" else "readline"
                    assert getattr(stream, name)(number) == getattr(model, name)(number)
                assert stream.tell() == model.tell()
    finally:
        ranges.SMALLEST, ranges.LARGEST, ranges._BUFFER = before
    assert all(0 < length and start + length <= len(DATA) for start, length in asked)


def test_nothing_beyond_the_span_is_fetched_ahead(pool):
    asked = []

    def read(start, length):
        asked.append((start, length))
        return bytes(length)

    with buffered(read, 1 << 30, (10 << 20, 14 << 20), pool, 8) as stream:
        stream.read(4)
        stream.seek(10 << 20)
        assert len(stream.read(4 << 20)) == 4 << 20
    assert sum(length for _, length in asked) <= (4 << 20) + 2 * ranges.SMALLEST
    assert len(asked) > 8


def test_eight_requests_at_once_hide_the_time_of_one():
    def read(start, length):
        time.sleep(0.02)
        return bytes(length)

    size, times = 128 << 20, {1: [], 8: []}
    for threads in (1, 8) * 3:  # the best of three: the machine may have other things to do
        with ThreadPoolExecutor(threads) as made, buffered(read, size, (0, size), made, threads) as stream:
            began = time.perf_counter()
            while stream.read(1 << 20):
                pass
            times[threads].append(time.perf_counter() - began)
    ratio = min(times[1]) / min(times[8])
    print(f"one thread {min(times[1]):.2f} s, eight {min(times[8]):.2f} s: {ratio:.1f}x")
    assert ratio >= 3, times


def test_an_error_of_a_range_is_raised_where_it_is_read(pool):
    def read(start, length):
        if start >= 2 << 20:
            raise UnavailableError("p", "away")
        return bytes(length)

    with buffered(read, 8 << 20, (0, 8 << 20), pool, 4) as stream:
        assert len(stream.read(1 << 20)) == 1 << 20
        with pytest.raises(UnavailableError, match="away"):
            stream.read(4 << 20)


def test_a_call_that_hangs_is_given_up_and_its_thread_ends():
    release = threading.Event()
    with pytest.raises(CallTimeoutError):
        call_with_timeout(0.05, release.wait)
    assert call_with_timeout(5, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        call_with_timeout(5, lambda: 1 / 0)
    stuck = [thread for thread in threading.enumerate() if thread.name == "textmill-store"]
    release.set()
    until = time.monotonic() + 10
    while len([thread for thread in threading.enumerate() if thread.name == "textmill-store"]) >= len(stuck) > 1:
        assert time.monotonic() < until
        time.sleep(0.01)
