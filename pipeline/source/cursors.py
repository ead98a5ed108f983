"""Where somebody is in a packed file. What is packed can only be unpacked from where one of its pieces begins; who reads a cut
file one range after the other goes on where the last one ended instead.
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
    """The unpacking of the file that was read last, until somebody wants to go on there. Used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: _Cursor | None = None
        self._heads: OrderedDict[tuple[_Key, int], list[bytes | Gap]] = OrderedDict()

    @contextmanager
    def opened(self, store: Store, fragment: Fragment, head_bytes: int) -> Iterator[PackedFile]:
        """The file of a fragment with `unpacked` bytes, to be read from near its `start` on; `head_bytes` of its first ones."""
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
    """The plain bytes of a packed file, as `pipeline.source.plain.PlainBytes` wants them."""

    packed = True

    def __init__(self, first: list[bytes | Gap], head_bytes: int, cursor: _Cursor) -> None:
        self._first, self._cursor = first, cursor
        joined = b"".join(piece for piece in first if isinstance(piece, bytes))
        self._size, self._all = len(joined), len(joined) < head_bytes
        self.head = joined[:head_bytes]

    def telling(self) -> bytes:
        """The head: no other place can be looked at."""
        return self.head

    def chunks(self, at: int = 0) -> Iterator[bytes | Gap]:
        """The bytes from `at` on: any place in the head, or one near the fragment's start or behind it."""
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
