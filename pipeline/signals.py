"""Ctrl-C and SIGTERM: the first asks a run to stop where it is safe, the second ends the process at once.

SIGUSR1 asks how the run is doing.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopToken:
    """Whether somebody has asked to stop."""

    def __init__(self) -> None:
        self._asked = False
        self._wants = False

    @property
    def asked(self) -> bool:
        """Whether somebody has asked to stop."""
        return self._asked

    def tell(self) -> None:
        """Somebody wants to know how the run is doing."""
        self._wants = True

    def told(self) -> bool:
        """Whether somebody has wanted to know since this was asked last."""
        wanted, self._wants = self._wants, False
        return wanted

    def ask(self) -> None:
        """Ask; asked twice, leave at once (what is under its final name is whole at every moment)."""
        if self._asked:
            os._exit(EXIT_CODE)
        self._asked = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if somebody has asked. To be called between blocks, where no lock is held."""
        if self._asked:
            raise KeyboardInterrupt


_stops: list[StopToken] = []


def stop_requested() -> bool:
    """Whether somebody has asked this process to stop: then nothing is worth waiting for any more."""
    return any(stop.asked for stop in _stops)


@contextmanager
def handling_signals() -> Iterator[StopToken]:
    """Catch the signals while the body runs.

    Python raises KeyboardInterrupt at any instruction, also between taking a lock and the block that gives it back; a thread that
    needs the lock then waits for ever. Here nothing is raised but by `check`. In a thread other than the main one the signals
    stay as they are.

    Yields:
        Says whether somebody has asked to stop.
    """
    stop = StopToken()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def asked(number: int, frame: FrameType | None) -> None:
        stop.tell() if number == signal.SIGUSR1 else stop.ask()

    before = {number: signal.signal(number, asked) for number in (*SIGNALS, signal.SIGUSR1)}
    _stops.append(stop)
    try:
        yield stop
    finally:
        _stops.remove(stop)
        for number, handler in before.items():
            signal.signal(number, handler)
