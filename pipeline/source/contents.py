"""Find the texts that a file holds: itself or the members of an archive, told by its first bytes and not by its name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pipeline.contract import RAW_BYTES, DocumentSpec, Fragment, TextOptions
from pipeline.errors import StoreError, UnavailableError
from pipeline.source.archives import archive_of, members
from pipeline.source.compression import MAGIC_BYTES
from pipeline.source.decompress import BombError
from pipeline.source.formats import FORMATS, Format, format_of
from pipeline.source.items import FileRefusedError, Item, Lost
from pipeline.source.plain import PlainBytes, PlainFile, Text
from pipeline.source.warc import is_warc
from pipeline.store.base import Entry, Store

# Of a piece of a cut file so much of the beginning is read: a header, which must end there, tells the dialect.
HEAD_BYTES = 1 << 18
_TABLES = {b"PAR1": "parquet", b"ARROW1": "arrow", b"ORC": "orc", b"Obj\x01": "avro"}


@dataclass(frozen=True, slots=True)
class Content:
    """A text, and the format in which it is read.

    Attributes:
        form: The format.
        text: The plain bytes and their encoding.
    """

    form: Format
    text: Text

    def items(self, start: int = 0, end: int | None = None) -> Iterator[Item]:
        """Read the records that begin in a range of bytes.

        Args:
            start: The first byte of the range, in the plain bytes.
            end: The byte behind the range; None: up to the end of the text.

        Returns:
            Records, and what is lost in the place of some, in order.
        """
        return self.form.read(self.text, start, end) if self.form.read is not None else iter(())

    def counts(self) -> Iterator[int]:
        """Count all records, which costs less than to read them.

        Returns:
            Numbers whose sum is how many items `items` gives for the whole text.
        """
        return self.form.count(self.text) if self.form.count is not None else iter(())


class IsTableError(Exception):
    """A file whose name promises text is a table; the message is the name of its format."""


def contents(
    stream: BinaryIO, fragment: Fragment, columns: DocumentSpec, noticed: Counter[str]
) -> Iterator[tuple[str, Content | Lost]]:
    """Open the texts that a file holds: itself, or the members of an archive.

    Args:
        stream: The file, seekable, at its beginning.
        fragment: The file, or a piece of it; of a piece the text is that of the whole file.
        columns: How the input is read.
        noticed: Is added to: under `members_of_other_formats` the members of an archive that are left alone.

    Yields:
        A path, `archive!/member` for members, and the text there, or what is lost instead of it.

    Raises:
        IsTableError: The file is a table.
        FileRefusedError: The file is no text or not of its format, or it is an archive without a member of a known format.
        Exception: Whatever opening and reading the file raises.
    """
    given = FORMATS[fragment.format]
    if not fragment.is_whole:
        yield fragment.path, content_of_piece(PlainFile(stream, fragment.size, head_bytes(fragment)), fragment, columns)
        return
    plain = PlainFile(stream, fragment.size)
    if not plain.packed and (table := next((name for magic, name in _TABLES.items() if plain.head.startswith(magic)), None)):
        raise IsTableError(table)
    if archive_of(plain) is None:
        if given.read is None and not is_warc(plain.head):
            raise FileRefusedError(f"no {given.name}, by its first bytes")
        yield fragment.path, _content(given, plain, columns)
        return
    some = False
    for path, inside in members(fragment.path, stream, plain):
        found = inside if isinstance(inside, Lost) else _member(path, inside, columns)
        if found is None:
            noticed["members_of_other_formats"] += 1
        else:
            some = True
            yield path, found
    if not some:
        raise FileRefusedError("an archive without any file of a known format, by their names; --format says which others are")


def head_bytes(fragment: Fragment) -> int:
    """Return how many of a file's first plain bytes the reader of a piece needs: those of a header or, without one, a mark.

    Args:
        fragment: The piece.
    """
    return HEAD_BYTES if fragment.format in ("csv", "tsv") else MAGIC_BYTES


def content_of_piece(plain: PlainBytes, fragment: Fragment, columns: DocumentSpec) -> Content:
    """Return the text of a file that was cut, in the format and the encoding that were planned for all its pieces.

    Args:
        plain: The plain bytes of the file.
        fragment: A piece of it.
        columns: How the input is read.
    """
    return Content(FORMATS[fragment.format], Text(plain, columns, fragment.encoding))


def _member(path: str, plain: PlainFile, columns: DocumentSpec) -> Content | Lost | None:
    """A member of an archive, or why it is not read; None if it is of no known format."""
    form = FORMATS.get(format_of(path) or columns.reading.format)
    if form is None:
        return None
    if form.read is None:
        return Lost(0, 0, "file_unreadable", f"{form.name} inside an archive: unpack it", plain.head[:RAW_BYTES], plain.size)
    try:
        return _content(form, plain, columns)
    except FileRefusedError as error:
        return Lost(0, 0, "file_unreadable", str(error), plain.head[:RAW_BYTES], plain.size)


def _content(form: Format, plain: PlainFile, columns: DocumentSpec) -> Content:
    """A text in a format, or in that which its first bytes tell. The records of web archives have encodings of their own."""
    if form.name == "warc" or is_warc(plain.head):
        return Content(FORMATS["warc"], Text(plain, columns, "utf-8"))
    return Content(form, Text(plain, columns))


def told_by_bytes(store: Store, entry: Entry) -> str:
    """Tell the format of a file whose name tells none by its first bytes.

    Args:
        store: Holds the file.
        entry: The file.

    Returns:
        `jsonl` for JSON and also for tables, archives and WARC, as whatever is read as JSON is looked at again and read as what
        it is. Empty for other files, and for files that cannot be read.

    Raises:
        UnavailableError: The store cannot read the file for now.
    """
    try:
        with store.open_read(entry.path, (0, min(entry.size, HEAD_BYTES))) as stream:
            plain = PlainFile(stream, entry.size, 4096)
            if (
                archive_of(plain)
                or is_warc(plain.head)
                or (not plain.packed and any(plain.head.startswith(magic) for magic in _TABLES))
            ):
                return "jsonl"  # what is read as JSON is looked at again
            text = Text(plain, DocumentSpec(reading=TextOptions.usual()))
            return "jsonl" if _JSON.match(text.coding.decode(plain.head)[0]) else ""
    except UnavailableError:
        raise
    except (OSError, ValueError, StoreError, FileRefusedError, BombError):
        return ""


_JSON = re.compile(r"[\s\0]*(\[[\s\0]*)?\{[\s\0]*[\"}]")
