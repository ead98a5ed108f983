"""Standard error that may lose its reader: whoever reads a job's log may go away without harm."""

from __future__ import annotations

import os
import sys
from typing import TextIO


class _Guarded:
    """A text stream whose reader may be gone: then what is written goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            self._give_up()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def _give_up(self) -> None:
        """Let the descriptor lead nowhere: what is buffered, and what other code writes to it, gets lost too."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, self._stream.fileno())
        finally:
            os.close(nowhere)


def safe_stderr() -> None:
    """Guard standard error for the rest of the process."""
    if not isinstance(sys.stderr, _Guarded):
        sys.stderr = _Guarded(sys.stderr)
