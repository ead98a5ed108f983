"""Decompress files of every known compression, recognised by their first bytes whatever the name says.

A broken piece (a gzip member, a zstd or lz4 frame, a bz2 or xz stream) costs itself where another one begins behind it.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol

from pipeline.source.compression import BROKEN, MAGIC_BYTES, Compression, compression_of
from pipeline.source.items import FileRefusedError, Gap

# A file that unpacks to more than this many times its size, and to more than this, is a bomb.
MAX_RATIO = 1000
MAX_UNPACKED = 256 << 20
CHUNK_BYTES = 1 << 18
_READ_BYTES = 1 << 14
# A piece that is broken is followed by the next one that begins so much before the place or behind it: decoders read ahead.
_BACK_BYTES = 2 * _READ_BYTES
# What was read last is kept: that, and what was read beyond the place.
_RECENT_BYTES = 2 * _BACK_BYTES
# So often a file may be packed.
_DEEP = 4
# Pieces that begin within so many bytes behind another one are not kept in mind: a file of members of a record each has millions.
_APART_BYTES = 1 << 18
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18", re.S)


class Readable(Protocol):
    """A stream of bytes to be decompressed: a file, or what comes out of another compressed one."""

    def read(self, size: int = -1, /) -> bytes:
        """Read the next bytes.

        Args:
            size: How many at most; all that are left if negative.

        Returns:
            The bytes; empty at the end only.
        """
        ...


class BombError(Exception):
    """A compressed file decompresses to more than MAX_RATIO times its size, and to more than MAX_UNPACKED bytes."""


class Begins:
    """Where the pieces of a compressed file begin, both in its own bytes and in the plain bytes that come out.

    Attributes:
        nested: Whether what comes out is compressed once more, so that decompression can begin at the first piece only.
    """

    def __init__(self) -> None:
        self._packed, self._plain = [0], [0]
        self.nested = False  # what it unpacks to is packed, so that only its first piece can be begun with

    def add(self, packed: int, plain: int) -> None:
        """Note where a piece begins, unless it is within 256 KiB of the last one that was noted; pieces come in their order.

        Args:
            packed: Its first byte in the file.
            plain: Its first byte in what the file decompresses to.
        """
        if packed - self._packed[-1] >= _APART_BYTES:
            self._packed.append(packed)
            self._plain.append(plain)

    def before(self, plain: int) -> tuple[int, int]:
        """Find the last noted piece that begins before a plain byte.

        Args:
            plain: A byte of what the file decompresses to.

        Returns:
            The piece's first byte in the file, and in what it decompresses to; both are 0 if only the first piece will do.
        """
        at = 0 if self.nested else max(0, bisect_left(self._plain, plain) - 1)
        return self._packed[at], self._plain[at]


def chunks_from(stream: Readable, size: int, packed: int, plain: int) -> Iterator[bytes | Gap]:
    """Decompress a file from one of its pieces on.

    Args:
        stream: The file, read from byte `packed` on.
        size: Size of the file in bytes, which limits how much may come out.
        packed: A byte of the file at which a piece begins.
        plain: The piece's first byte in what the file decompresses to.

    Yields:
        Plain bytes, and gaps for what could not be decompressed, in order.

    Raises:
        FileRefusedError: No piece begins there, or a library is missing.
        BombError: Far more bytes come out than a file of its size should hold.
        Exception: Whatever reading the stream raises.
    """
    head = stream.read(MAGIC_BYTES)
    found = compression_of(head)
    if found is None:
        raise FileRefusedError("no packed piece begins where one was found when it was planned")
    yield from _limited(_pieces(_Source(JoinedStream([head], stream), packed), found, plain), size)


def chunks_of(stream: Readable, size: int, begins: Begins | None = None, deep: int = 0) -> Iterator[bytes | Gap]:
    """Decompress a stream from its beginning, as often as it is compressed, up to four times.

    A stream that is not compressed comes as it is.

    Args:
        stream: The file, at its beginning.
        size: Size of the file in bytes, which limits how much may come out.
        begins: Is told where the pieces of the outermost compression begin.
        deep: How many layers of compression were undone before.

    Yields:
        Plain bytes, and gaps for what could not be decompressed, in order.

    Raises:
        FileRefusedError: A library is missing.
        BombError: Far more bytes come out than a file of its size should hold.
        Exception: Whatever reading the stream raises.
    """
    head = stream.read(CHUNK_BYTES)
    found = compression_of(head) if deep < _DEEP else None
    if found is None:
        while head:
            yield head
            head = stream.read(CHUNK_BYTES)
        return
    pieces = _limited(_pieces(_Source(JoinedStream([head], stream)), found, begins=begins), size)
    first: list[bytes | Gap] = []
    for piece in pieces:
        first.append(piece)
        if isinstance(piece, Gap) or sum(len(one) for one in first if isinstance(one, bytes)) >= MAGIC_BYTES:
            break
    if compression_of(b"".join(one for one in first if isinstance(one, bytes))) is None:
        yield from first
        yield from pieces
        return
    if begins is not None:
        begins.nested = True
    inner = Chunks(chain(first, pieces))
    yield from chunks_of(inner, size, deep=deep + 1)
    yield from inner.gaps


def _limited(pieces: Iterator[bytes | Gap], size: int) -> Iterator[bytes | Gap]:
    limit, read = max(MAX_UNPACKED, size * MAX_RATIO), 0
    for piece in pieces:
        read += 0 if isinstance(piece, Gap) else len(piece)
        if read > limit:
            raise BombError(f"more than {limit:,} bytes come out of it")
        yield piece


class JoinedStream:
    """A stream with the bytes put back that were read from it already.

    Args:
        read: These bytes, in pieces.
        stream: Gives the bytes behind them.
    """

    def __init__(self, read: Sequence[bytes], stream: Readable) -> None:
        self._head, self._stream = b"".join(read), stream

    def read(self, size: int = -1, /) -> bytes:
        """Read the next bytes.

        Args:
            size: How many at most; all that are left if negative.

        Returns:
            The bytes, of which there may be fewer before the end, too; empty at the end only.
        """
        if size < 0:
            head, self._head = self._head, b""
            return head + self._stream.read()
        head, self._head = self._head[:size], self._head[size:]
        return head or self._stream.read(size)


class Chunks:
    """Plain bytes as a stream, which ends at the first gap.

    Args:
        pieces: Plain bytes and gaps, in order.

    Attributes:
        gaps: The gap at which the stream has ended, if it has ended at one.
        place: How many bytes were read.
    """

    def __init__(self, pieces: Iterable[bytes | Gap]) -> None:
        self._pieces, self._held = iter(pieces), b""
        self.gaps: list[Gap] = []
        self.place = 0

    def read(self, size: int = -1, /) -> bytes:
        """Read the next bytes.

        Args:
            size: How many; all that are left if negative.

        Returns:
            The bytes; fewer than `size` only before a gap or the end.
        """
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


def _pieces(source: _Source, packing: Compression, out_bytes: int = 0, begins: Begins | None = None) -> Iterator[bytes | Gap]:
    """What one piece after the other holds; `out_bytes` have come of those before."""
    while True:
        if (strange := source.begin(packing)) is not None:
            yield strange
        if not source.held:
            return
        start, piece = source.place, packing.make()
        if begins is not None:
            begins.add(start, out_bytes)
        while not piece.eof:
            block = source.block()
            try:
                out, rest = piece.feed(block)
            except BROKEN as error:
                broken = source.place
                source.seek(packing, max(start + 1, broken - _BACK_BYTES))
                lost = max(0, source.place - broken)
                what = f"the {packing.piece} that begins at its byte {start:,} is broken ({error})"
                yield Gap(f"{what}; {lost:,} packed bytes are lost", int(lost * out_bytes / max(1, broken)))
                break
            source.took(block, rest)
            out_bytes += len(out)
            if out:
                yield out
            elif not block and not piece.eof:
                if not piece.ends:
                    yield Gap(f"it ends in the middle of the {packing.piece} that begins at its byte {start:,}")
                return


class _Source:
    """A packed file's bytes: `held` were read and not taken, the first of them at `place`; what was read last is kept."""

    def __init__(self, stream: Readable, at: int = 0) -> None:
        self._stream = stream
        self._recent, self._read = b"", at
        self.held, self.place = b"", at

    def fill(self) -> bool:
        """Read on; whether there was something."""
        chunk = self._stream.read(_READ_BYTES)
        self._read += len(chunk)
        self._recent = (self._recent + chunk)[-_RECENT_BYTES:]
        self.held += chunk
        return bool(chunk)

    def block(self) -> bytes:
        """The bytes that come next; empty at the end.

        A block ends at a multiple of _READ_BYTES, so that what comes out of a broken piece does not depend on where reading
        began.
        """
        size = _READ_BYTES - self.place % _READ_BYTES
        while len(self.held) < size and self.fill():
            pass
        return self.held[:size]

    def took(self, block: bytes, rest: bytes = b"") -> None:
        """All of a block was taken but `rest`, which a decoder that is at its end may have taken with an earlier block."""
        self.place += len(block) - len(rest)
        self.held = rest + self.held[len(block) :]

    def begin(self, packing: Compression) -> Gap | None:
        """Go to where a piece begins, or to the end; a gap if there is more than padding before it."""
        while True:
            while True:
                self._take_padding()
                if len(self.held) >= MAGIC_BYTES or not self.fill():
                    break
            self._take_padding()
            if not self._skippable():
                break
        if not self.held or packing.begin.match(self.held):
            return None
        start = self.place
        self.seek(packing, start + 1)
        return Gap(f"{self.place - start:,} bytes from its byte {start:,} on are no {packing.piece}")

    def _take_padding(self) -> None:
        self.took(self.held[: len(self.held) - len(self.held.lstrip(b"\0"))])

    def _skippable(self) -> bool:
        """Leave a frame of zstd or lz4 behind that is to be skipped."""
        if _SKIPPABLE.match(self.held) is None:
            return False
        left = 8 + int.from_bytes(self.held[4:8], "little")
        while left and (self.held or self.fill()):
            taken = min(left, len(self.held))
            self.took(self.held[:taken])
            left -= taken
        return True

    def seek(self, packing: Compression, least: int) -> None:
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
