"""Bytes into lines of text: gzip, zstd and bz2 told by their first bytes, UTF-8 and UTF-16 by their mark."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol, cast

import pyarrow as pa

# A file that unpacks to more than this many times its size, and to more than this, is a bomb.
MAX_RATIO = 1000
MAX_UNPACKED = 256 << 20
MAX_LINE_BYTES = 16 << 20
UNREADABLE = (OSError, EOFError, zlib.error, pa.ArrowException)


class Readable(Protocol):
    """What lines are read from."""

    def read(self, size: int = -1, /) -> bytes: ...

    def readline(self, size: int = -1, /) -> bytes: ...


class BombError(Exception):
    """A packed file grows beyond MAX_RATIO."""


def packing(head: bytes) -> str | None:
    """gzip, zstd, bz2 or None, from a file's first four bytes."""
    for magic, name in ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bz2")):
        if head.startswith(magic):
            return name
    return None


def text_encoding(head: bytes) -> tuple[str, int]:
    """The encoding that a byte order mark tells, and the mark's length."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            return name, len(mark)
    return "utf-8", 0


class _Counted(io.RawIOBase):
    """Counts what was unpacked and stops a bomb."""

    def __init__(self, inner: BinaryIO, size: int) -> None:
        self._take: Callable[[int], bytes] = getattr(inner, "read1", inner.read)
        self._limit, self._read = max(MAX_UNPACKED, size * MAX_RATIO), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        # What is there, not all that is asked for: behind a file's torn end the rest would be lost with the error.
        data = self._take(len(view))
        self._read += len(data)
        if self._read > self._limit:
            raise BombError(f"more than {self._limit:,} bytes come out of it")
        view[: len(data)] = data
        return len(data)


def unpacked(stream: BinaryIO, size: int) -> tuple[BinaryIO, bool]:
    """The plain bytes of a file of `size` bytes, and whether it was packed. Reading may raise UNREADABLE or BombError."""
    kind = packing(stream.read(4))
    stream.seek(0)
    if kind is None:
        return stream, False
    inner: object
    if kind == "gzip":
        inner = gzip.GzipFile(fileobj=stream)
    elif kind == "bz2":
        inner = bz2.BZ2File(stream)
    else:
        inner = pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd")
    return cast(BinaryIO, io.BufferedReader(_Counted(cast(BinaryIO, inner), size), 1 << 18)), True


def lines(stream: Readable, encoding: str, at: int, end: int | None) -> Iterator[tuple[int, bytes | None, bytes]]:
    """Lines that begin before `end`: position, the line without its end as bytes, and, if it is too long, None and its head."""
    newline = "\n".encode(encoding)
    if encoding != "utf-8":
        yield from _wide_lines(stream, newline, at)
        return
    while end is None or at < end:
        raw = stream.readline(MAX_LINE_BYTES + 1)
        if not raw:
            return
        start, at = at, at + len(raw)
        if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
            while rest := stream.readline(MAX_LINE_BYTES):
                at += len(rest)
                if rest.endswith(b"\n"):
                    break
            yield start, None, raw[:1000]
        else:
            yield start, raw, b""


def _wide_lines(stream: Readable, newline: bytes, at: int) -> Iterator[tuple[int, bytes | None, bytes]]:
    """UTF-16: a line end is two bytes at an even place."""
    held = b""
    while True:
        data = stream.read(1 << 18)
        held += data
        start = 0
        place = held.find(newline)
        while place >= 0:
            if place % 2 == 0:
                yield at + start, held[start : place + 2], b""
                start = place + 2
                place = held.find(newline, start)
            else:
                place = held.find(newline, place + 1)
        held, at = held[start:], at + start
        if len(held) > MAX_LINE_BYTES:
            yield at, None, held[:1000]
            return
        if not data:
            break
    if held:
        yield at, held, b""
