"""Read JSON Lines, which can be cut anywhere; JSON in other forms is read by json_stream. The content tells which it is."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pipeline.source.items import Item, Lost, Record
from pipeline.source.json_stream import stream_records
from pipeline.source.json_values import BLANK, DECODER, as_item, parsed
from pipeline.source.plain import Text

_PADDING = "\0\ufeff"


def json_records(text: Text, start: int, end: int | None) -> Iterator[Item]:
    """Read the records of a JSON file that begin in a range of bytes.

    Args:
        text: The file.
        start: The first byte of the range, in the plain bytes; only JSON Lines are read from another byte than 0.
        end: The byte behind the range; None: up to the end of the file.

    Yields:
        Records, and what is lost in the place of some, in order.
    """
    if start == 0 and end is None and not in_lines(text):
        yield from stream_records(text)
        return
    for line in text.lines(start, end):
        if isinstance(line, Lost):
            yield line
            if line.rest and isinstance(rest := _record(line.end - len(line.rest), line.rest, text), Record):
                yield rest  # what comes behind a gap may begin with a whole line
        elif (found := _record(*line, text)) is not None:
            yield found


def json_count(text: Text) -> Iterator[int]:
    """Count the records of a JSON file; JSON Lines are counted without being parsed.

    Args:
        text: The file.

    Yields:
        Numbers whose sum is how many items `json_records` gives for the whole file.
    """
    if not in_lines(text):
        for _ in stream_records(text):
            yield 1
        return
    for line in text.lines():
        if isinstance(line, Lost):
            yield 1 + bool(line.rest and isinstance(_record(line.end - len(line.rest), line.rest, text), Record))
        else:
            yield int(bool(text.coding.decode(line[1])[0].strip(BLANK)))


def _record(position: int, raw: bytes, text: Text) -> Item | None:
    decoded, replaced = text.coding.decode(raw)
    end = position + len(raw)
    if not decoded.strip(BLANK):
        return None
    try:
        value = parsed(decoded.lstrip(_PADDING))
    except json.JSONDecodeError as error:
        return Lost(position, end, "not_json", f"{error.msg.removesuffix(' at')} at character {error.pos}", raw)
    except (RecursionError, ValueError) as error:
        return Lost(position, end, "not_json", type(error).__name__, raw)
    return as_item(value, position, end, raw, replaced, text.columns)


def in_lines(text: Text) -> bool:
    """Whether a file holds JSON Lines, by its head.

    It does not if a path to the records is configured, if it begins with an array of objects, or if its first object ends on
    another line than it begins on or before another one on its line.

    Args:
        text: The file.
    """
    if text.columns.reading.json_path:
        return False
    head = text.coding.decode(text.plain.head)[0].lstrip(BLANK)
    first, newline, more = head.partition("\r" if text.coding.newline.strip(b"\0") == b"\r" else "\n")
    if not head.startswith(("{", "[")):
        return True
    if head[0] == "[":
        return head[1:].lstrip()[:1] not in ("{", "]")
    if first.strip() == "{":
        return False
    try:
        value, at = DECODER.raw_decode(first)
    except (ValueError, RecursionError):
        return not (newline and _spans(first, more))
    return isinstance(value, dict) and not first[at:].strip(BLANK + ",").startswith(("{", "["))


def _spans(first: str, more: str) -> bool:
    """Whether a value begins on the first line and ends, or is cut off by the head's end, on another one."""
    text = f"{first}\n{more}"
    try:
        return isinstance(DECODER.raw_decode(text)[0], dict)
    except json.JSONDecodeError as error:
        return error.msg.startswith("Unterminated") or error.pos >= len(text) - 16
    except (ValueError, RecursionError):
        return False
