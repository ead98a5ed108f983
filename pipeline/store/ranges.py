"""A remote file as a stream: read in ranges, several of them ahead of the reader and at once."""

from __future__ import annotations

import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, BinaryIO, cast

from typing_extensions import override

from pipeline.store.retrying_client import Ranged

SMALLEST, LARGEST = 256 << 10, 4 << 20
_BUFFER = 128 << 10


class RangedFile(io.RawIOBase):
    """A remote file as a seekable stream: ranges of it are fetched by several threads ahead of the reader.

    With a `span` all of it is asked for at once, and nothing beyond. Without one the number and the size of the ranges that are
    read ahead grow as long as the file is read in sequence.

    Args:
        read: Reads a range: start and length in bytes, inside the file.
        size: Size of the file in bytes; its content does not change.
        span: Byte range (start, end) that is known to be read in sequence; None if nothing is known.
        pool: Threads that make the reads.
        ahead: Number of ranges on the way at most.
    """

    def __init__(self, read: Ranged, size: int, span: tuple[int, int] | None, pool: ThreadPoolExecutor, ahead: int) -> None:
        self._read, self._size, self._span, self._pool, self._ahead = read, size, span, pool, ahead
        self._at = 0
        self._ranges: deque[tuple[int, int, Future[bytes]]] = deque()  # one behind the other: start, end, bytes
        self._grown = 0  # how many were asked for since the last jump

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        return self._at

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    @override
    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size or not len(buffer):
            return 0
        view = memoryview(buffer).cast("B")
        while self._ranges and not self._ranges[0][0] <= self._at < self._ranges[0][1]:
            if self._at < self._ranges[0][0]:
                self._drop()  # a jump back
            else:
                self._ranges.popleft()[2].cancel()
        if not self._ranges:
            self._grown = 0
        self._ask(len(view))
        start, end, found = self._ranges[0]
        data = found.result()
        count = min(len(view), end - self._at)
        view[:count] = memoryview(data)[self._at - start : self._at - start + count]
        self._at += count
        return count

    def _ask(self, wanted: int) -> None:
        """Ask for the range that is read now, and for those after it that it is time to ask for."""
        inside = self._span is not None and self._span[0] - 1 <= self._at < self._span[1]
        window = self._ahead if inside else min(self._ahead, self._grown + 1)
        if self._span is not None and not inside:
            window = 1
        while len(self._ranges) < window or not self._ranges:
            start = self._ranges[-1][1] if self._ranges else self._at
            last = self._span[1] if inside and self._span is not None else self._size
            if start >= last and self._ranges:
                return
            end = min(self._size, start + self._length(start, inside, wanted))
            self._ranges.append((start, end, self._pool.submit(self._read, start, end - start)))
            self._grown += 1

    def _length(self, start: int, inside: bool, wanted: int) -> int:
        if inside and self._span is not None:
            share = -(-(self._span[1] - self._span[0]) // self._ahead)
            return min(max(SMALLEST, share), LARGEST, max(SMALLEST, self._span[1] - start))
        if self._span is not None:
            return SMALLEST
        return min(LARGEST, max(wanted, SMALLEST << min(self._grown, 4)))

    def _drop(self) -> None:
        while self._ranges:
            self._ranges.popleft()[2].cancel()

    @override
    def close(self) -> None:
        self._drop()
        super().close()


def buffered(read: Ranged, size: int, span: tuple[int, int] | None, pool: ThreadPoolExecutor, ahead: int) -> BinaryIO:
    """Open a RangedFile with a buffer, so that reading line by line is cheap.

    Args:
        read: As for RangedFile.
        size: As for RangedFile.
        span: As for RangedFile.
        pool: As for RangedFile.
        ahead: As for RangedFile.

    Returns:
        The stream.
    """
    return cast(BinaryIO, io.BufferedReader(RangedFile(read, size, span, pool, ahead), _BUFFER))
