"""Bytes to and from processes: whole, whatever signals come; a limit counts from when something came last."""

import hashlib
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pipes import NoAnswerError, read_exactly, read_in_time, write_all


def test_a_write_that_signals_interrupt_is_whole():
    """A raw pipe takes a part of a large write when a signal comes; the rest is written behind it."""
    code = "import time, sys, hashlib; time.sleep(0.5); print(hashlib.md5(sys.stdin.buffer.read()).hexdigest())"
    data = bytes(range(256)) * 8000
    heard, writes = [], []
    before = signal.signal(signal.SIGALRM, lambda *given: heard.append(given))
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.02)

            def write(part):
                writes.append(process.stdin.write(part))
                return writes[-1]

            write_all(write, data)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        process.stdin.close()
        assert process.stdout.read().decode().strip() == hashlib.md5(data).hexdigest()
    assert heard
    assert len(writes) > 1  # it was interrupted
    assert sum(writes) == len(data)


@given(st.binary(max_size=200), st.lists(st.integers(1, 30), min_size=1), st.integers(0, 250))
def test_exactly_so_many_bytes_however_they_come(data, pieces, size):
    left, step = [data], [0]

    def read(wanted):
        take = min(wanted, pieces[step[0] % len(pieces)])
        step[0] += 1
        found, left[0] = left[0][:take], left[0][take:]
        return found

    assert read_exactly(read, size) == (data[:size] if size <= len(data) else None)


def test_who_answers_steadily_may_take_as_long_as_it_likes():
    code = "import sys, time\nfor i in range(8):\n time.sleep(0.25); sys.stdout.buffer.write(b'x'); sys.stdout.buffer.flush()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, bufsize=0) as process:
        assert read_in_time(process.stdout, 8, 60.0) == b"x" * 8
        assert read_in_time(process.stdout, 1, 60.0) is None


def test_who_is_mute_is_given_up_and_a_check_is_heard_meanwhile():
    checks = []
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        with pytest.raises(NoAnswerError):
            read_in_time(process.stdout, 1, 0.5, lambda: checks.append(1))
        assert len(checks) >= 2

        def stop():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            read_in_time(process.stdout, 1, 60.0, stop)
        process.kill()
