"""The stack on which a thread's signals are handled, kept as it was."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """stack_t of Linux (sigaltstack(2))."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Give the thread its signal stack back when the body ends.

    OpenVINO 2026 gives a thread that compiles a model a stack of the model's own, and the one from before back when the model is
    dropped. After two models are dropped that is the first one's, which is gone: the next signal ends the process.

    Yields:
        Nothing.
    """
    if sys.platform != "linux":
        yield
        return
    libc, before = ctypes.CDLL(None), _Stack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)
