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
    """Carries requests from signal handlers to the run: to stop, and to tell how it is doing."""

    def __init__(self) -> None:
        self._asked = False
        self._wants = False

    @property
    def asked(self) -> bool:
        """Whether a stop has been requested."""
        return self._asked

    def tell(self) -> None:
        """Request that the run tell how it is doing."""
        self._wants = True

    def told(self) -> bool:
        """Whether `tell` has been called since this was called last."""
        wanted, self._wants = self._wants, False
        return wanted

    def ask(self) -> None:
        """Request a stop; the second request ends the process at once, with EXIT_CODE.

        That is safe at any moment, since a file under its final name is always complete.
        """
        if self._asked:
            os._exit(EXIT_CODE)
        self._asked = True

    def check(self) -> None:
        """Stop here if a stop has been requested; called between blocks, where no lock is held.

        Raises:
            KeyboardInterrupt: A stop has been requested.
        """
        if self._asked:
            raise KeyboardInterrupt


_stops: list[StopToken] = []


def stop_requested() -> bool:
    """Whether this process has been asked to stop, so that waiting and retrying are no longer worth while."""
    return any(stop.asked for stop in _stops)


@contextmanager
def handling_signals() -> Iterator[StopToken]:
    """Handle SIGINT, SIGTERM and SIGUSR1 by a stop token while the body runs, then restore the handlers from before.

    By default Python raises KeyboardInterrupt at any instruction, even between taking a lock and the block that releases it; a
    thread that needs the lock then waits for ever. Here only `StopToken.check` raises. In a thread other than the main one the
    handlers stay as they are, and the token is never set.

    Yields:
        The token that the signals set.
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
