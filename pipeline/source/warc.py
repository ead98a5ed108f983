"""Read WARC, the files of web archives (WARC and WET of Common Crawl).

A record is a document if it is a text that was made of a page (`conversion`) or a page of HTML (`response`). A broken record
costs itself: reading goes on where the next one begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pipeline.contract import RAW_BYTES, DocumentSpec
from pipeline.source import lines
from pipeline.source.items import Item, Lost, Record
from pipeline.source.plain import Text
from pipeline.source.warc_window import BEGIN, MAGIC, ReadWindow
from pipeline.source.web_page import BLANK_LINE, Page, PageError, TooLongError, decoded, field_of, fields_of, media_type, page_of

_MAX_HEADER_BYTES = 1 << 20
_SIZE = re.compile("[0-9]{1,40}")
# A record ends with two of them; some writers leave one out, or add some.
_LINE_ENDS = b"\r\n"
_LOOK_BYTES = 64
# What is told of a file beside its documents.
OTHERS = "records_of_other_types"


class _Found(NamedTuple):
    """A record: the bytes `position` to `end` of the file, of which `raw` are the first; `fields` are those of its header."""

    position: int
    end: int
    raw: bytes
    fields: dict[str, str]
    block: bytes

    def get(self, name: str) -> str:
        """A field of the header, by its name in small letters."""
        return field_of(self.fields, name)

    @property
    def is_text(self) -> bool:
        """Whether it is a text that was made of a page."""
        kind = media_type(self.get("content-type"))
        return self.get("warc-type").lower() == "conversion" and (not kind or kind.startswith("text/"))

    @property
    def page(self) -> Page | None:
        """The page of HTML that it is an answer with."""
        return page_of(self.get("content-type"), self.block) if self.get("warc-type").lower() == "response" else None


def is_warc(head: bytes) -> bool:
    """Whether a file is a web archive.

    Args:
        head: The first plain bytes of the file.
    """
    return head.startswith(MAGIC)


def warc_records(text: Text, start: int = 0, end: int | None = None) -> Iterator[Item]:
    """Read the documents of a web archive; records of other types are counted in `text.noticed`.

    Args:
        text: The file.
        start: Not used: web archives are never cut.
        end: Not used.

    Yields:
        Records, and what is lost in the place of some, in order.
    """
    for found in _found(text):
        item = found if isinstance(found, Lost) else _document(found, text.columns)
        if item is not None:
            yield item
        else:
            text.noticed[OTHERS] += 1


def warc_count(text: Text) -> Iterator[int]:
    """Count the documents of a web archive, which takes reading it.

    Args:
        text: The file.

    Yields:
        Numbers whose sum is how many items `warc_records` gives.
    """
    for found in _found(text):
        yield int(isinstance(found, Lost) or found.is_text or found.page is not None)


def _found(text: Text) -> Iterator[_Found | Lost]:
    window = ReadWindow(text.plain.chunks())
    while True:
        window.skip(_LINE_ENDS)
        if window.left:
            yield _step(window)
        elif window.gap is not None:
            yield _behind_gap(window)
        else:
            return


def _step(window: ReadWindow) -> _Found | Lost:
    """What begins here: a record, or what is lost instead."""
    start = window.at
    window.fill(len(MAGIC))
    if not window.begins(MAGIC):
        raw = window.peek(RAW_BYTES)
        if not window.search(1) and not start:
            return Lost(start, window.at, "file_unreadable", "no WARC: there is no record in it", raw, window.at)
        return Lost(start, window.at, "bad_warc", "no record begins here, by its first bytes", raw, window.at - start)
    header = _header(window)
    if header is None:
        return _cut_off(window, "its header does not end")
    size = header.get("content-length")
    if not _SIZE.fullmatch(size):
        return _broken(window, "its header tells no Content-Length")
    length = len(header.raw) + int(size)
    if int(size) > lines.MAX_LINE_BYTES:
        return _too_long(window, header, length)
    window.fill(length + _LOOK_BYTES)
    if window.left >= length and _ends(window, length):
        whole = window.peek(length)
        window.advance(length)
        return _Found(start, window.at, whole[:RAW_BYTES], header.fields, whole[len(header.raw) :])
    if window.left < length:
        return _cut_off(window, f"its header tells of {int(size):,} bytes, {window.left - len(header.raw):,} are there")
    return _broken(window, f"it does not end where its Content-Length, {int(size):,} bytes, says")


def _header(window: ReadWindow) -> _Found | None:
    """The header that begins here, None if it does not end, or not before another record."""
    while (blank := window.find(BLANK_LINE)) is None:
        if window.left > _MAX_HEADER_BYTES or not window.fill(window.left + 1):
            return None
    raw = window.peek(blank)
    if BEGIN.search(raw, 1):
        return None  # another record begins in it
    return _Found(window.at, window.at + blank, raw, fields_of(raw), b"")


def _ends(window: ReadWindow, length: int) -> bool:
    """Whether a record may end so many bytes behind the place.

    It may with the line ends that belong there, before another record, or where the file or what is whole of it ends.
    """
    behind = window.peek(_LOOK_BYTES, length)
    more = behind.lstrip(_LINE_ENDS)[: len(MAGIC)]
    return behind.startswith(2 * _LINE_ENDS) or more == MAGIC or (len(behind) < _LOOK_BYTES and MAGIC.startswith(more))


def _broken(window: ReadWindow, why: str) -> Lost:
    """The record that begins here is not read; the next one is."""
    start, raw = window.at, window.peek(RAW_BYTES)
    window.search(1)
    return Lost(start, window.at, "bad_warc", f"a record is broken: {why}", raw)


def _cut_off(window: ReadWindow, why: str) -> Lost:
    """What begins here ends too early: another record begins within it, or something is missing, or the file ends."""
    start, raw = window.at, window.peek(RAW_BYTES)
    if window.search(1):
        return Lost(start, window.at, "bad_warc", f"a record is broken: {why}", raw)
    return _ended(window, start, raw)


def _ended(window: ReadWindow, start: int, raw: bytes) -> Lost:
    """The file, or what is whole of it, has ended within the record that begins at byte `start`."""
    if window.gap is not None:
        return _behind_gap(window, start, raw)
    message = f"it ends in the middle of the record that begins at its byte {start:,}"
    return Lost(start, window.at, "file_unreadable", message, raw, window.at - start)


def _behind_gap(window: ReadWindow, start: int = -1, raw: bytes = b"") -> Lost:
    """Something could not be unpacked here; go on at the record behind it."""
    gap, start = window.gap, window.at if start < 0 else start
    assert gap is not None
    window.gap = None
    window.search(0)
    return Lost(start, window.at, "file_unreadable", gap.message, raw, window.at - start + gap.lost)


def _too_long(window: ReadWindow, header: _Found, length: int) -> _Found | Lost:
    """A record that is longer than a document may be: it is skipped, up to its end or to where another one begins."""
    start, raw = window.at, window.peek(RAW_BYTES)
    if window.search(len(header.raw), length):
        return Lost(start, window.at, "bad_warc", "a record is broken: another one begins before its end", raw)
    if window.at - start < length:
        return _ended(window, start, raw)
    if header.is_text or header.get("warc-type").lower() == "response":
        return lines.too_long(start, window.at, raw)
    return header


def _document(found: _Found, columns: DocumentSpec) -> Item | None:
    """A record's document, or why it is none; None for a record that was not meant to be one."""
    try:
        if found.is_text:
            kind = found.get("content-type")
            text, replaced = decoded(found.block, kind, columns.reading.encoding)
        elif (page := found.page) is not None:
            kind = page.content_type
            text, replaced = page.text(columns.reading.encoding)
        else:
            return None
    except TooLongError:
        return lines.too_long(found.position, found.end, found.raw)
    except PageError as error:
        return Lost(found.position, found.end, "bad_warc", str(error), found.raw)
    return Record(found.position, found.end, _values(found, kind) | {columns.text: text}, found.raw, replaced)


def _values(found: _Found, kind: str) -> dict[str, Any]:
    """What else is known of a document: under the usual names, and under those of the header."""
    url = found.get("warc-target-uri").strip("<>")
    named = {
        "id": found.get("warc-record-id"), "created_at": found.get("warc-date"), "source": _host(url), "url": url,
        "language": found.get("warc-identified-content-language"), "content_type": kind,
    }  # fmt: skip
    return found.fields | {name: value or None for name, value in named.items()}


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
