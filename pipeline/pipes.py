"""Bytes to and from processes of ours: whole, whatever signals come, and with a time limit for each answer that is awaited."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import IO

POLL_S = 0.2


class NoAnswerError(Exception):
    """The other process sent nothing for longer than the time limit."""


def write_all(write: Callable[[memoryview], int | None], data: bytes) -> None:
    """Write all of some bytes to a raw stream, which may take only a part of them at a time, as when a signal interrupts it.

    Args:
        write: Writes some of the bytes and returns how many, like `RawIOBase.write`; what it raises is raised.
        data: What is written.
    """
    left = memoryview(data)
    while left:
        left = left[write(left) or 0 :]


def read_exactly(read: Callable[[int], bytes | None], size: int) -> bytes | None:
    """Read an exact number of bytes from a stream that may give them in pieces.

    Args:
        read: Reads at most the given number of bytes, and returns none at the stream's end, like `RawIOBase.read`.
        size: Number of bytes.

    Returns:
        The bytes; None if the stream ends before.
    """
    parts: list[bytes] = []
    left = size
    while left:
        more = read(left)
        if not more:
            return None
        parts.append(more)
        left -= len(more)
    return b"".join(parts)


def read_in_time(stream: IO[bytes], size: int, limit_s: float, check: Callable[[], object] | None = None) -> bytes | None:
    """Read an exact number of bytes from an unbuffered pipe, with a limit on how long it may be silent.

    The limit starts anew whenever bytes arrive, so that a process which answers steadily may take as long as it likes.

    Args:
        stream: Pipe from the other process, without a buffer.
        size: Number of bytes.
        limit_s: Seconds for which nothing may arrive.
        check: Called several times a second while nothing arrives; what it raises is raised.

    Returns:
        The bytes; None if the stream ends before.

    Raises:
        NoAnswerError: Nothing arrived for `limit_s` seconds.
    """

    def read(wanted: int) -> bytes | None:
        left = limit_s  # counted in looks, so that a pause of this process is nobody's fault
        while not select.select([stream], [], [], POLL_S)[0]:
            if check is not None:
                check()
            left -= POLL_S
            if left <= 0:
                raise NoAnswerError
        return stream.read(wanted)

    return read_exactly(read, size)
