"""Packed files into plain bytes, told by their first bytes whatever the name says. A broken piece (a member of gzip, a frame of
zstd or lz4, a stream of bz2 or xz) costs itself where another begins behind it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol

from pipeline.source.items import Gap
from pipeline.source.packings import BROKEN, MAGIC_BYTES, Packing, packing_of

# A file that unpacks to more than this many times its size, and to more than this, is a bomb.
MAX_RATIO = 1000
MAX_UNPACKED = 256 << 20
CHUNK_BYTES = 1 << 18
_READ_BYTES = 1 << 14
# What was read last and may be gone back to, to look for the next piece: more than a decoder holds of its input.
_RECENT_BYTES = 4 * _READ_BYTES
# So often a file may be packed.
_DEEP = 4
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18", re.S)


class Readable(Protocol):
    """What is unpacked: a file, or the pieces of another packed one."""

    def read(self, size: int = -1, /) -> bytes: ...


class BombError(Exception):
    """A packed file grows beyond MAX_RATIO."""


def chunks_of(stream: Readable, size: int, deep: int = 0) -> Iterator[bytes | Gap]:
    """The plain bytes of a stream that is read from its beginning, unpacked as often as it is packed; `size` is that of the file.

    Raises BombError, RefusedError where a library is missing, and what reading the stream raises.
    """
    head = stream.read(CHUNK_BYTES)
    found = packing_of(head) if deep < _DEEP else None
    if found is None:
        while head:
            yield head
            head = stream.read(CHUNK_BYTES)
        return
    pieces = _limited(_pieces(Joined([head], stream), found), size)
    first: list[bytes | Gap] = []
    for piece in pieces:
        first.append(piece)
        if isinstance(piece, Gap) or sum(len(one) for one in first if isinstance(one, bytes)) >= MAGIC_BYTES:
            break
    if packing_of(b"".join(one for one in first if isinstance(one, bytes))) is None:
        yield from first
        yield from pieces
        return
    inner = Chunks(chain(first, pieces))
    yield from chunks_of(inner, size, deep + 1)
    yield from inner.gaps


def _limited(pieces: Iterator[bytes | Gap], size: int) -> Iterator[bytes | Gap]:
    limit, read = max(MAX_UNPACKED, size * MAX_RATIO), 0
    for piece in pieces:
        read += 0 if isinstance(piece, Gap) else len(piece)
        if read > limit:
            raise BombError(f"more than {limit:,} bytes come out of it")
        yield piece


class Joined:
    """A stream behind bytes that were read from it already."""

    def __init__(self, read: Sequence[bytes], stream: Readable) -> None:
        self._head, self._stream = b"".join(read), stream

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            head, self._head = self._head, b""
            return head + self._stream.read()
        head, self._head = self._head[:size], self._head[size:]
        return head or self._stream.read(size)


class Chunks:
    """Pieces as a stream, which ends at the first gap; `gaps` are those that were met, `place` the bytes that were read."""

    def __init__(self, pieces: Iterable[bytes | Gap]) -> None:
        self._pieces, self._held = iter(pieces), b""
        self.gaps: list[Gap] = []
        self.place = 0

    def read(self, size: int = -1, /) -> bytes:
        parts: list[bytes] = []
        wanted = size if size >= 0 else sys.maxsize
        while wanted > 0 and (self._held or self._fill()):
            part, self._held = self._held[:wanted], self._held[wanted:]
            parts.append(part)
            wanted -= len(part)
            self.place += len(part)
        return b"".join(parts)

    def _fill(self) -> bool:
        while not self._held and not self.gaps:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            if isinstance(piece, Gap):
                self.gaps.append(piece)
            else:
                self._held = piece
        return bool(self._held)


def _pieces(stream: Readable, packing: Packing) -> Iterator[bytes | Gap]:
    """What one piece after the other holds."""
    source, out_bytes = _Source(stream), 0
    while True:
        if (strange := source.begin(packing)) is not None:
            yield strange
        if not source.held:
            return
        start, piece = source.place, packing.make()
        while not piece.eof:
            ended = not source.held and not source.fill()
            try:
                out, rest = piece.feed(source.held)
            except BROKEN as error:
                broken = source.place
                source.seek(packing, start + 1)
                lost = max(0, source.place - broken)
                what = f"the {packing.piece} that begins at its byte {start:,} is broken ({error})"
                yield Gap(f"{what}; {lost:,} packed bytes are lost", int(lost * out_bytes / max(1, broken)))
                break
            source.took(rest)
            out_bytes += len(out)
            if out:
                yield out
            elif ended and not piece.eof:
                if not piece.ends:
                    yield Gap(f"it ends in the middle of the {packing.piece} that begins at its byte {start:,}")
                return


class _Source:
    """A packed file's bytes: `held` were read and not taken, the first of them at `place`; what was read last is kept."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._recent, self._read = b"", 0
        self.held, self.place = b"", 0

    def fill(self) -> bool:
        """Read on; whether there was something."""
        chunk = self._stream.read(_READ_BYTES)
        self._read += len(chunk)
        self._recent = (self._recent + chunk)[-_RECENT_BYTES:]
        self.held += chunk
        return bool(chunk)

    def took(self, rest: bytes) -> None:
        """All but `rest` was taken."""
        self.place += len(self.held) - len(rest)
        self.held = rest

    def begin(self, packing: Packing) -> Gap | None:
        """Go to where a piece begins, or to the end; a gap if there is more than padding before it."""
        while True:
            while True:
                self.took(self.held.lstrip(b"\0"))
                if len(self.held) >= MAGIC_BYTES or not self.fill():
                    break
            self.took(self.held.lstrip(b"\0"))
            if not self._skippable():
                break
        if not self.held or packing.begin.match(self.held):
            return None
        start = self.place
        self.seek(packing, start + 1)
        return Gap(f"{self.place - start:,} bytes from its byte {start:,} on are no {packing.piece}")

    def _skippable(self) -> bool:
        """Leave a frame of zstd or lz4 behind that is to be skipped."""
        if _SKIPPABLE.match(self.held) is None:
            return False
        left = 8 + int.from_bytes(self.held[4:8], "little")
        while left and (self.held or self.fill()):
            taken = min(left, len(self.held))
            self.took(self.held[taken:])
            left -= taken
        return True

    def seek(self, packing: Packing, least: int) -> None:
        """Go to the next piece that begins at byte `least` or behind it and not before what was read last; or to the end."""
        begin = self._read - len(self._recent)
        window, at = self._recent[max(0, least - begin) :], max(begin, least)
        while (found := packing.next.search(window)) is None:
            chunk = self._stream.read(CHUNK_BYTES)
            if not chunk:
                self.held, self.place = b"", at + len(window)
                return
            self._read += len(chunk)
            kept = window[-2 * MAGIC_BYTES :]
            at += len(window) - len(kept)
            window = kept + chunk
        self.held, self.place = window[found.start() :], at + found.start()
        self._recent = self.held[-_RECENT_BYTES:]
