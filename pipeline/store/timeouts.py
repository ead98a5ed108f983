"""Calls with a deadline, for libraries that have none: a helper thread makes the call, and is given up if that takes too long.

A call that was given up may still come back while the interpreter ends. Before Python 3.14 its thread is then unwound through
the library, and one in Rust ends the process with SIGABRT (cpython#87135): a run that is done must not end like that.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

# So long a process that ends waits for calls that were given up.
SETTLE_S = 5.0


class CallTimeoutError(Exception):
    """The call did not end in time; its helper thread goes on with it, and the result is lost."""


class _Call:
    __slots__ = ("call", "error", "given_up", "over", "result")

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call, self.over = call, threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None
        self.given_up = False


class _Helper(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="textmill-store", daemon=True)
        self.inbox: SimpleQueue[_Call] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            one = self.inbox.get()
            try:
                one.result = one.call()
            except BaseException as error:  # noqa: BLE001 - raised again by who waits; a panic in Rust is no Exception
                one.error = error
            one.over.set()
            with _lock:
                _stuck.discard(self)
                if one.given_up:
                    return
                _idle.append(self)
            del one


_idle: list[_Helper] = []
_stuck: set[_Helper] = set()  # those whose call was given up and goes on
_lock = threading.Lock()
os.register_at_fork(after_in_child=_idle.clear)
os.register_at_fork(after_in_child=_stuck.clear)


@atexit.register
def _settle() -> None:
    """Wait for calls that were given up; whoever can, calls `leave` and waits for nothing."""
    until = time.monotonic() + SETTLE_S
    while _stuck and time.monotonic() < until:
        time.sleep(0.02)


def exit_if_stuck(code: int) -> None:
    """End the process at once if a call that was given up still runs; else nothing happens.

    Logs, standard output and standard error are flushed first; handlers of `atexit` do not run.

    Args:
        code: Exit code.
    """
    if _stuck:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def call_with_timeout(seconds: float, call: Callable[[], T]) -> T:
    """Make a call in a helper thread, and wait for it no longer than a deadline.

    Args:
        seconds: Seconds to wait.
        call: Makes the call. What it raises is raised here.

    Returns:
        What the call returns.

    Raises:
        CallTimeoutError: It takes longer; its thread is given up.
    """
    with _lock:
        helper = _idle.pop() if _idle else None
    helper = helper or _Helper()
    one = _Call(call)
    helper.inbox.put(one)
    if not one.over.wait(seconds):
        with _lock:
            one.given_up = not one.over.is_set()
            if one.given_up:
                _stuck.add(helper)
        if one.given_up:
            raise CallTimeoutError
    if one.error is not None:
        try:
            raise one.error
        finally:
            del one  # the traceback holds this frame
    result: T = one.result
    return result
