"""Go on decompressing a file where its last range ended.

A compressed file can only be decompressed from the beginning of one of its pieces, such as a gzip member. Whoever reads a file
that was cut, one range after the other, therefore goes on where the last range ended.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from pipeline.contract import Fragment
from pipeline.source.decompress import chunks_from, chunks_of
from pipeline.source.items import FileRefusedError, Gap
from pipeline.store.base import Store

# So much of what was unpacked last is kept: a range is read a line's end too far, and the next begins a byte before it.
_KEPT_BYTES = 1 << 20
# Of so many files the head is kept.
_HEADS = 8

_Key = tuple[str, str, int, int]


class Cursors:
    """Keeps the decompressor of the file that was read last, for whoever goes on there; may be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: _Cursor | None = None
        self._heads: OrderedDict[tuple[_Key, int], list[bytes | Gap]] = OrderedDict()

    @contextmanager
    def opened(self, store: Store, fragment: Fragment, head_bytes: int) -> Iterator[PackedFile]:
        """Open a compressed file that was cut, to be read from near the fragment's start on.

        Decompression goes on where the last reader of the file has stopped, if that can still give the fragment's first bytes and
        lies behind the beginning of the compressed piece that the plan names; otherwise it begins at that piece.

        Args:
            store: Holds the file.
            fragment: The piece to be read; `unpacked` is not None.
            head_bytes: How many of the file's first plain bytes are needed beside the fragment.

        Yields:
            The file's plain bytes.

        Raises:
            StoreError: The file cannot be opened.
        """
        key = store.url, fragment.path, fragment.size, fragment.modified_ns
        first = self._head(store, key, head_bytes)
        cursor = self._take(key, fragment)
        with store.open_read(fragment.path, (cursor.tap.at, fragment.size)) as stream:
            stream.seek(cursor.tap.at)
            cursor.tap.stream = stream
            try:
                yield PackedFile(first, head_bytes, cursor)
            finally:
                cursor.tap.stream = None
        if not cursor.broken:
            with self._lock:
                self._idle = cursor

    def _take(self, key: _Key, fragment: Fragment) -> _Cursor:
        wanted = max(0, fragment.start - 1)
        with self._lock:
            idle = self._idle
            if idle is not None and idle.key == key and idle.reaches(wanted) and idle.place >= fragment.piece_plain:
                self._idle = None
                return idle
        return _Cursor(key, fragment)

    def _head(self, store: Store, key: _Key, size: int) -> list[bytes | Gap]:
        """The file's first bytes, as they come; fewer than `size` only if it has no more."""
        with self._lock:
            if (found := self._heads.get((key, size))) is not None:
                return found
        found, read = [], 0
        with store.open_read(key[1], (0, min(key[2], size))) as stream:
            for piece in chunks_of(stream, key[2]):
                found.append(piece)
                read += 0 if isinstance(piece, Gap) else len(piece)
                if read >= size:
                    break
        with self._lock:
            self._heads[key, size] = found
            while len(self._heads) > _HEADS:
                self._heads.popitem(last=False)
        return found


class PackedFile:
    """The plain bytes of a compressed file that was cut, as `pipeline.source.plain.PlainBytes` defines them.

    Args:
        first: The first plain bytes, and gaps in them, in pieces; fewer than `head_bytes` only if the file has no more.
        head_bytes: Length of the head.
        cursor: Decompresses the file from near the fragment's start on.

    Attributes:
        head: The first plain bytes of the file.
        packed: True: the bytes come of a compressed file.
    """

    packed = True

    def __init__(self, first: list[bytes | Gap], head_bytes: int, cursor: _Cursor) -> None:
        self._first, self._cursor = first, cursor
        joined = b"".join(piece for piece in first if isinstance(piece, bytes))
        self._size, self._all = len(joined), len(joined) < head_bytes
        self.head = joined[:head_bytes]

    def telling(self) -> bytes:
        """Return the head: no other place of a compressed file can be looked at."""
        return self.head

    def chunks(self, at: int = 0) -> Iterator[bytes | Gap]:
        """Read the plain bytes from a place on.

        Args:
            at: The first byte: in the head, or near the fragment's start, or behind that.

        Yields:
            Bytes, and gaps for what could not be decompressed, in order.

        Raises:
            FileRefusedError: The bytes that are needed lie before the place at which decompression has begun.
            BombError: Far more bytes come out than a file of its size should hold.
        """
        place = 0
        for piece in self._first if at < self._size or self._all else ():
            yield from _from(piece, place, at)
            place += 0 if isinstance(piece, Gap) else len(piece)
        if self._all:
            return
        at = max(at, self._size)
        if not self._cursor.reaches(at):
            raise FileRefusedError(f"what is at its byte {at:,} is needed to read it from a later place on")
        yield from self._cursor.chunks(at)


class _Tap:
    """The bytes of a file from `at` on, of which the stream may be closed between two reads and opened again."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.stream: BinaryIO | None = None

    def read(self, size: int = -1, /) -> bytes:
        """As a stream does."""
        assert self.stream is not None
        data = self.stream.read(size)
        self.at += len(data)
        return data


class _Cursor:
    """Unpacks a file from a piece of it on. `place` is behind the last byte that was unpacked."""

    def __init__(self, key: _Key, fragment: Fragment) -> None:
        self.key, self.broken = key, False
        self.place = fragment.piece_plain
        self.tap = _Tap(fragment.piece_packed)
        size, begin = key[2], (fragment.piece_packed, fragment.piece_plain)
        self._pieces = chunks_from(self.tap, size, *begin) if self.tap.at else chunks_of(self.tap, size)
        self._kept: deque[tuple[int, bytes | Gap]] = deque()
        self._kept_bytes = 0

    def reaches(self, at: int) -> bool:
        """Whether it can give the bytes from `at` on."""
        return (self._kept[0][0] if self._kept else self.place) <= at

    def chunks(self, at: int) -> Iterator[bytes | Gap]:
        """The bytes from `at` on, which it must reach, with the gaps from there on."""
        for place, piece in list(self._kept):
            yield from _from(piece, place, at)
        while (new := self._next()) is not None:
            yield from _from(new, self.place - (0 if isinstance(new, Gap) else len(new)), at)

    def _next(self) -> bytes | Gap | None:
        try:
            piece = next(self._pieces, None)
        except BaseException:
            self.broken = True
            raise
        if piece is not None:
            self._kept.append((self.place, piece))
            size = 0 if isinstance(piece, Gap) else len(piece)
            self.place += size
            self._kept_bytes += size
            while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
                _, dropped = self._kept.popleft()
                self._kept_bytes -= 0 if isinstance(dropped, Gap) else len(dropped)
        return piece


def _from(piece: bytes | Gap, place: int, at: int) -> Iterator[bytes | Gap]:
    """What of a piece at `place` is not before `at`."""
    if isinstance(piece, Gap):
        if place >= at:
            yield piece
    elif place + len(piece) > at:
        yield piece[max(0, at - place) :]
