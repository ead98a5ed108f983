"""Calls with a deadline, for libraries that have none: a helper thread makes the call, and is given up if that takes too long."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class LateError(Exception):
    """The call did not end in time; the thread that makes it goes on in the dark."""


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
                if one.given_up:
                    return
                _idle.append(self)
            del one


_idle: list[_Helper] = []
_lock = threading.Lock()
os.register_at_fork(after_in_child=_idle.clear)


def within(seconds: float, call: Callable[[], T]) -> T:
    """What the call gives or raises; LateError if it takes longer than `seconds`."""
    with _lock:
        helper = _idle.pop() if _idle else None
    helper = helper or _Helper()
    one = _Call(call)
    helper.inbox.put(one)
    if not one.over.wait(seconds):
        with _lock:
            one.given_up = not one.over.is_set()
        if one.given_up:
            raise LateError
    if one.error is not None:
        try:
            raise one.error
        finally:
            del one  # the traceback holds this frame
    result: T = one.result
    return result
