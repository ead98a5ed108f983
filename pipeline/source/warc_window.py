"""A window of a web archive's bytes: what was read and not yet taken, and where the next record begins."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.source.items import Gap

MAGIC = b"WARC/1."
# Of a record, at the beginning of a line.
BEGIN = re.compile(rb"^WARC/1\.\d+[ \t]*\r?\n", re.M)
# As long as what a record begins with may be, and what stands before it.
_KEPT = 64


class ReadWindow:
    """`at` is the byte of the file that is read next, `gap` what stands behind what was read."""

    def __init__(self, chunks: Iterator[bytes | Gap]) -> None:
        self._chunks = chunks
        self._held, self._pos, self.at = b"", 0, 0
        self._ended = False
        self.gap: Gap | None = None

    @property
    def left(self) -> int:
        """Bytes that were read and not yet taken."""
        return len(self._held) - self._pos

    def fill(self, size: int) -> bool:
        """Read until so many bytes are left; False if a gap or the end comes before."""
        if self.left >= size:
            return True
        parts, length = [self._held[self._pos :]], self.left
        while length < size and self.gap is None and not self._ended:
            chunk = next(self._chunks, None)
            if isinstance(chunk, Gap):
                self.gap = chunk
            elif chunk is None:
                self._ended = True
            else:
                parts.append(chunk)
                length += len(chunk)
        self._held, self._pos = b"".join(parts), 0
        return length >= size

    def peek(self, size: int, behind: int = 0) -> bytes:
        """So many bytes, from so many bytes behind the place on, without taking them."""
        return self._held[self._pos + behind : self._pos + behind + size]

    def begins(self, what: bytes) -> bool:
        """Whether these bytes come next."""
        return self._held.startswith(what, self._pos)

    def find(self, pattern: re.Pattern[bytes]) -> int | None:
        """How many bytes there are up to the end of what matches."""
        found = pattern.search(self._held, self._pos)
        return None if found is None else found.end() - self._pos

    def advance(self, size: int) -> None:
        """Take so many bytes."""
        self._pos += size
        self.at += size

    def skip(self, what: bytes) -> None:
        """Take those of these bytes that come next."""
        while self.left or self.fill(1):
            while self.left and self._held[self._pos] in what:
                self.advance(1)
            if self.left:
                return

    def search(self, least: int, most: int | None = None) -> bool:
        """Go to the next record that begins at least so many bytes from here, at the beginning of a line; False if none does
        before a gap, the end, or the place `most` bytes from here, and one of these is gone to.
        """
        begin, stop = self.at, None if most is None else self.at + most
        if least and not self.fill(least):
            self.advance(self.left)
            return False
        while True:
            self.fill(_KEPT)
            place = max(self._pos, self._pos + begin + least - self.at)
            while (found := BEGIN.search(self._held, place)) is not None:
                place = found.start()
                if stop is not None and self.at + place - self._pos >= stop:
                    break
                if (not least and self.at + place - self._pos == begin) or self._held[place - 1 : place] == b"\n":
                    self.advance(place - self._pos)
                    return True
                place += 1
            kept = self.left if stop is None else min(self.left, stop - self.at)
            if stop is not None and kept < self.left:
                self.advance(kept)
                return False
            self.advance(max(0, self.left - _KEPT))
            if not self.fill(self.left + 1):
                self.advance(self.left)
                return False
