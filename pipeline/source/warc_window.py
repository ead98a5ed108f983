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
    """A window of the plain bytes of a web archive: what was read and not yet taken.

    Args:
        chunks: Plain bytes and gaps from the beginning of the file on.

    Attributes:
        at: The plain byte that is taken next.
        gap: What stands behind the bytes that were read, where they end at a gap; reading goes on when it is set to None.
    """

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
        """Read until enough bytes are left.

        Args:
            size: How many, from the place on.

        Returns:
            True, or False if a gap or the end comes before.
        """
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
        """Return bytes without taking them; fewer if fewer were read.

        Args:
            size: How many.
            behind: How many bytes from the place on are passed over.
        """
        return self._held[self._pos + behind : self._pos + behind + size]

    def begins(self, what: bytes) -> bool:
        """Whether certain bytes come next, as far as was read.

        Args:
            what: The bytes.
        """
        return self._held.startswith(what, self._pos)

    def find(self, pattern: re.Pattern[bytes]) -> int | None:
        """Search the bytes that were read and not yet taken.

        Args:
            pattern: What is searched for.

        Returns:
            How many bytes there are from the place to the end of the first match; None if there is none.
        """
        found = pattern.search(self._held, self._pos)
        return None if found is None else found.end() - self._pos

    def advance(self, size: int) -> None:
        """Take bytes.

        Args:
            size: How many; no more than are left.
        """
        self._pos += size
        self.at += size

    def skip(self, what: bytes) -> None:
        """Take bytes as long as they are certain ones, reading on as needed.

        Args:
            what: The set of these bytes.
        """
        while self.left or self.fill(1):
            while self.left and self._held[self._pos] in what:
                self.advance(1)
            if self.left:
                return

    def search(self, least: int, most: int | None = None) -> bool:
        """Go to the next record that begins at the beginning of a line.

        If there is none, go to the next gap or the end, or as far as `most` allows.

        Args:
            least: How many bytes from the place on it begins at the earliest.
            most: How many bytes from the place on it begins before; None: anywhere.

        Returns:
            Whether there is one.
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
