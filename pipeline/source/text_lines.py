"""Read plain text, of which each line is a document, or each file."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.source import lines
from pipeline.source.items import Gap, Item, Lost, Record
from pipeline.source.json_values import BLANK
from pipeline.source.plain import Text


def text_records(text: Text, start: int, end: int | None) -> Iterator[Item]:
    """Read the documents of a text file: the lines that begin in a range of bytes, or the whole file as one.

    Blank lines are no documents.

    Args:
        text: The file; `text.columns.documents` tells which.
        start: The first byte of the range, in the plain bytes.
        end: The byte behind the range; None: up to the end of the file.

    Yields:
        Records with the text column alone, and what is lost in the place of some, in order.
    """
    if text.columns.documents == "file":
        yield from _one(text)
        return
    for line in text.lines(start, end):
        if isinstance(line, Lost):
            yield line
            continue
        position, raw = line
        decoded, replaced = text.coding.decode(raw)
        if decoded.strip(BLANK):
            yield Record(position, position + len(raw), {text.columns.text: decoded.rstrip("\r\n")}, raw, replaced)


def text_count(text: Text) -> Iterator[int]:
    """Count the documents of a text file.

    Args:
        text: The file.

    Yields:
        Numbers whose sum is how many items `text_records` gives for the whole file.
    """
    if text.columns.documents == "file":
        yield sum(1 for _ in _one(text))
        return
    for line in text.lines():
        yield int(isinstance(line, Lost) or bool(text.coding.decode(line[1])[0].strip(BLANK)))


def _one(text: Text) -> Iterator[Item]:
    """The file as a document; one that is too long, or has gaps, is none."""
    mark, size, raw = text.coding.mark, 0, b""
    gaps: list[Gap] = []
    for chunk in text.plain.chunks(mark):
        if isinstance(chunk, Gap):
            gaps.append(chunk)
        else:
            size += len(chunk)
            raw += chunk if size <= lines.MAX_LINE_BYTES else b""
    if gaps:
        message, lost = "; ".join(gap.message for gap in gaps), size + sum(gap.lost for gap in gaps)
        yield Lost(0, size, "file_unreadable", message, raw[:1000], lost)
    elif size > lines.MAX_LINE_BYTES:
        yield lines.too_long(0, size, raw)
    else:
        decoded, replaced = text.coding.decode(raw)
        yield Record(0, mark + size, {text.columns.text: decoded}, raw, replaced)
