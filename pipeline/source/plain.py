"""What readers see of a text file: plain bytes, with gaps where some could not be decompressed, and their encoding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO, Protocol

from pipeline.contract import DocumentSpec
from pipeline.source.compression import MAGIC_BYTES, compression_of
from pipeline.source.decompress import CHUNK_BYTES, Begins, JoinedStream, Readable, chunks_of
from pipeline.source.encodings import AUTO, HEAD_BYTES, check_text, detect_encoding, known_coding
from pipeline.source.items import FileRefusedError, Gap, Lost
from pipeline.source.lines import Line, lines

# Of a big file whose beginning is ASCII so many bytes at some places are looked at, too.
_WINDOW_BYTES = 1 << 16


class PlainBytes(Protocol):
    """The plain bytes of a file.

    Attributes:
        head: The first of them.
        packed: Whether they come of a compressed file, and so in one pass.
    """

    head: bytes
    packed: bool

    def chunks(self, at: int = 0) -> Iterator[bytes | Gap]:
        """Read the plain bytes from a place on.

        Args:
            at: The first byte.

        Returns:
            Bytes, and gaps for what could not be decompressed, in order.
        """
        ...

    def telling(self) -> bytes:
        """Return the bytes by which the encoding is detected."""
        ...


class PlainFile:
    """The plain bytes of a file that is read from its beginning, compressed or not.

    Args:
        stream: The file, at its beginning; seekable, unless `broken` is given.
        size: Size of the file in bytes.
        head_bytes: Length of the head, at most.
        broken: Exceptions that a member of an archive may raise; each ends the bytes with a gap. Such a file is read in one pass.

    Attributes:
        size: Size of the file in bytes.
        packed: Whether the file is compressed.
        begins: Where the pieces of a compressed file begin, as far as it was read.
        head: The first plain bytes.
    """

    def __init__(
        self, stream: BinaryIO | Readable, size: int, head_bytes: int = HEAD_BYTES, broken: tuple[type[Exception], ...] = ()
    ) -> None:
        self._stream, self.size, self._broken, self._seekable = stream, size, broken, not broken
        magic = _read(stream, MAGIC_BYTES)
        self.packed = compression_of(magic) is not None
        self.begins = Begins()
        self._first: list[bytes | Gap] = []
        if self.packed:
            self._rest = chunks_of(JoinedStream([magic], stream), size, self.begins)
            read = 0
            while read < head_bytes and (piece := next(self._rest, None)) is not None:
                self._first.append(piece)
                read += 0 if isinstance(piece, Gap) else len(piece)
        else:
            self._first = [magic + _read(stream, head_bytes - len(magic))]
        whole = [piece for piece in self._first if isinstance(piece, bytes)]
        self.head = b"".join(whole)[:head_bytes]

    def chunks(self, at: int = 0) -> Iterator[bytes | Gap]:
        """Read the plain bytes from a place on.

        A compressed file, or a member of an archive, can be read once only, and from a place within the head.

        Args:
            at: The first byte.

        Yields:
            Bytes, and gaps for what could not be read, in order.

        Raises:
            Exception: Whatever decompressing and reading the stream raises, except `broken`.
        """
        try:
            yield from self._from(at)
        except self._broken as error:
            yield Gap(f"{type(error).__name__}: {error}")

    def _from(self, at: int) -> Iterator[bytes | Gap]:
        if self.packed:
            for piece in self._first:
                if isinstance(piece, Gap):
                    yield piece
                    continue
                cut = min(at, len(piece))
                at -= cut
                yield piece[cut:]
            yield from self._rest
            return
        if at < len(self.head):
            yield self.head[at:]
            at = len(self.head)
        if self._seekable:
            self._stream.seek(at)  # type: ignore[union-attr]
        while chunk := self._stream.read(CHUNK_BYTES):
            yield chunk

    def telling(self) -> bytes:
        """Return the bytes by which the encoding is detected: the head and, where that is ASCII, lines of other places."""
        if self.packed or not self._seekable or self.size <= len(self.head) or not self.head.isascii() or b"\0" in self.head:
            return self.head
        found = [self.head]
        for quarter in (1, 2, 3):
            self._stream.seek(self.size * quarter // 4)  # type: ignore[union-attr]
            found.append(_read(self._stream, _WINDOW_BYTES).partition(b"\n")[2].rpartition(b"\n")[0])
        return b"\n".join(found)


def _read(stream: Readable, size: int) -> bytes:
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Text:
    """A text file: its plain bytes, their encoding, and how it is to be read.

    Args:
        plain: The plain bytes.
        columns: How the input is read.
        encoding: The encoding that was detected when the file was planned; if it is empty, it is detected here.

    Attributes:
        plain: The plain bytes.
        columns: How the input is read.
        coding: The encoding.
        noticed: Counts of what is reported of the file.

    Raises:
        FileRefusedError: Most of the head is no text in its encoding, which is not checked if `encoding` is given.
    """

    def __init__(self, plain: PlainBytes, columns: DocumentSpec, encoding: str = "") -> None:
        self.plain, self.columns = plain, columns
        self.noticed: Counter[str] = Counter()  # what is told of the file
        wanted = columns.reading.encoding
        if encoding:
            self.coding = known_coding(encoding, plain.head)
        else:
            self.coding = detect_encoding(plain.telling() if wanted == AUTO else plain.head, wanted)
            if trouble := check_text(plain.head, self.coding):
                raise FileRefusedError(trouble)
        if self.coding.name != "utf-8":
            self.noticed[f"files_in_{self.coding.name}"] += 1

    def lines(self, start: int = 0, end: int | None = None) -> Iterator[Line | Lost]:
        """Read the lines that begin in a range of bytes; a byte order mark is skipped.

        Args:
            start: The first byte of the range, in the plain bytes.
            end: The byte behind the range; None: up to the end of the file.

        Yields:
            Lines, and what is lost in the place of some, in order.
        """
        if start == 0:
            found = self.lines_from(self.coding.mark)
            end = None if end is None else max(end, self.coding.mark + 1)
        else:
            found = self.lines_from(start - 1)
            next(found, None)
        for line in found:
            if end is not None and position_of(line) >= end:
                return
            yield line

    def lines_from(self, at: int) -> Iterator[Line | Lost]:
        """Read the lines from a line's beginning on.

        Args:
            at: The plain byte at which the line begins.

        Returns:
            Lines, and what is lost in the place of some, in order.
        """
        return lines(self.plain.chunks(at), at, self.coding)


def position_of(line: tuple[int, Any] | tuple[int, Any, Any, Any, Any] | Lost) -> int:
    """Return the plain byte at which a line or a record begins.

    Args:
        line: A line, a record as a tuple that begins with its position, or what is lost.
    """
    return line.position if isinstance(line, Lost) else line[0]
