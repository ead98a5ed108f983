"""Bytes to and from processes of ours: whole, whatever signals come, and with a time limit for each answer that is awaited."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import IO

POLL_S = 0.2


class NoAnswerError(Exception):
    """Nothing came for too long."""


def write_all(write: Callable[[memoryview], int | None], data: bytes) -> None:
    """Write all of it: a raw stream takes only a part where a signal interrupts it. Raises what `write` raises.

    Args:
        write: Writes, and gives how many bytes it took.
        data: The bytes.
    """
    left = memoryview(data)
    while left:
        left = left[write(left) or 0 :]


def read_exactly(read: Callable[[int], bytes | None], size: int) -> bytes | None:
    """Read so many bytes.

    Args:
        read: Reads at most so many bytes; none at the end.
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
    """Read so many bytes of an unbuffered pipe, in time.

    The limit counts from when something came last, so that whoever answers steadily may take as long as it likes.

    Args:
        stream: The pipe.
        size: Number of bytes.
        limit_s: Seconds in which something must come.
        check: Called several times a second; what it raises is raised.

    Returns:
        The bytes; None if the stream ends before.

    Raises:
        NoAnswerError: Nothing came for `limit_s`.
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
