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
    """Restore the thread's alternate signal stack (sigaltstack(2)) when the body ends; without effect except on Linux.

    When a thread compiles a model, OpenVINO 2026 sets an alternate signal stack that belongs to this model, and restores the one
    from before when the model is freed. After two models are freed that may be the first one's, which is freed memory itself: the
    next signal kills the process.

    Yields:
        None.
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
