"""Read JSON that is not in lines: arrays of objects, objects over several lines or side by side, arrays inside documents.

It is read record by record in bounded memory; a broken record costs itself where another one can be seen to begin.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from pipeline.contract import RAW_BYTES
from pipeline.source import lines
from pipeline.source.items import Gap, Item, Lost
from pipeline.source.json_values import DECODER, LENIENT, as_item, parsed
from pipeline.source.plain import Text

_BETWEEN = re.compile(r"[\s,\0\ufeff]*")
_ESCAPED = re.compile("[\udc00-\udcff]")
# Without a line of its own a record begins behind the end of another one.
_BEHIND = re.compile(r"\}\s*,?\s*(?=\{)")
# A value that seems broken so near to the end of what was read may only be cut off there.
_NEAR_END = 16


def stream_records(text: Text) -> Iterator[Item]:
    """Read all records of a JSON file that is not in lines.

    Args:
        text: The file.

    Returns:
        Records, and what is lost in the place of some, in order.
    """
    return _Reader(text).items()


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes that are no text, as characters that remember them, and back."""
    if isinstance(error, UnicodeDecodeError):
        return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end
    assert isinstance(error, UnicodeEncodeError)
    return bytes((ord(char) - 0xDC00) & 0xFF for char in error.object[error.start : error.end]), error.end


codecs.register_error("textmill", _escape)


class _Buffer:
    """A window of the text: `pos` is the character that is read next, `at` its byte in the file."""

    def __init__(self, text: Text) -> None:
        coding = text.coding
        self._name, self._errors = coding.name, "textmill" if coding.unit == 1 else "replace"
        self._decode = codecs.getincrementaldecoder(coding.name)(self._errors).decode
        self._chunks = text.plain.chunks(coding.mark)
        self.text, self.pos, self.at = "", 0, coding.mark
        self.gap: Gap | None = None  # behind the text
        self._ended = False

    def more(self) -> bool:
        """Read on, as much as there is to be read already at least; False at a gap or at the end."""
        parts, wanted = [], max(1, self.left)
        while wanted > 0 and self.gap is None and not self._ended:
            chunk = next(self._chunks, None)
            if isinstance(chunk, Gap):
                self.gap = chunk
                break
            self._ended = chunk is None
            parts.append(self._decode(chunk or b"", self._ended))
            wanted -= len(parts[-1])
        if not any(parts):
            return False
        self.text, self.pos = self.text[self.pos :] + "".join(parts), 0
        return True

    @property
    def left(self) -> int:
        """Characters that were read and not yet taken."""
        return len(self.text) - self.pos

    def encode(self, text: str) -> bytes:
        """The bytes that a piece of the text was."""
        return text.encode(self._name, self._errors)

    def advance(self, to: int) -> None:
        """Take the characters up to `to`."""
        self.at += len(self.encode(self.text[self.pos : to]))
        self.pos = to


class _Reader:
    def __init__(self, text: Text) -> None:
        self._text, self._buffer = text, _Buffer(text)
        self._path = [key for key in text.columns.reading.json_path.replace("[*]", "").lstrip("$").split(".") if key]
        # What the place is in: "[" is an array of records; a number an object in which that key of the path is looked for.
        self._inside: list[str | int] = []
        self._indent: str | None = ""  # what stands before the record on its line; None if that is more than white space
        self._loose = False  # whether something was lost: what closes may be behind what has opened it
        self._found = False

    def items(self) -> Iterator[Item]:
        buffer = self._buffer
        while True:
            if not self._next():
                if buffer.gap is not None:
                    yield self._behind_gap()
                    continue
                if self._inside and not self._loose:
                    yield Lost(buffer.at, buffer.at, "not_json", "the file ends inside an array or object: is it cut off?")
                return
            found = self._step()
            if found is not None:
                yield found

    def _next(self) -> bool:
        """Go to the next character that is not between values; False at a gap or at the end."""
        buffer, indent = self._buffer, self._indent if self._buffer.at == self._text.coding.mark else None
        while True:
            end = _BETWEEN.match(buffer.text, buffer.pos).end()  # type: ignore[union-attr]
            between = buffer.text[buffer.pos : end]
            _, newline, last = between.replace("\r", "\n").rpartition("\n")
            indent = last if newline else None if indent is None else indent + between
            buffer.advance(end)
            if buffer.left:
                self._indent = indent
                return True
            if not buffer.more():
                return False

    def _step(self) -> Item | None:
        """One value, or what opens or closes something; gives a record, or what was lost."""
        buffer = self._buffer
        char, inside = buffer.text[buffer.pos], self._inside[-1] if self._inside else None
        if (char == "]" and inside == "[") or (char == "}" and isinstance(inside, int)):
            self._inside.pop()
            buffer.advance(buffer.pos + 1)
            missing = not self._inside and inside == 0 and not self._found and not self._loose
            return Lost(buffer.at - 1, buffer.at, "no_text", f"nothing at {'.'.join(self._path)}") if missing else None
        if char in "]}" and self._loose:
            buffer.advance(buffer.pos + 1)
            return None
        if inside is None and char == "[":
            self._inside.append("[")
            buffer.advance(buffer.pos + 1)
            return None
        if isinstance(inside, int):
            return self._member(inside)
        if inside is None and char == "{" and self._path and self._leads():
            self._inside.append(0)
            self._found = False
            buffer.advance(buffer.pos + 1)
            return None
        return self._record()

    def _leads(self) -> bool:
        """Whether the path leads to something in the object that begins here; one that is too big to look is walked through."""
        try:
            value, _ = self._value()
        except _TooLongError:
            return True
        except (ValueError, RecursionError):
            return False
        for key in self._path:
            value = value.get(key) if isinstance(value, dict) else None
        return isinstance(value, (dict, list))

    def _member(self, number: int) -> Item | None:
        """A key of an object on the path, and what is under it."""
        buffer = self._buffer
        try:
            key, end = self._value()
            buffer.advance(end)
            if not isinstance(key, str) or not self._next() or buffer.text[buffer.pos] != ":":
                raise ValueError("a key and a colon are missing")
            buffer.advance(buffer.pos + 1)
            if not self._next():
                raise ValueError("there is no value")
            char, last = buffer.text[buffer.pos], number + 1 == len(self._path)
            if key == self._path[number] and char == "[" and last:
                self._found = True
                self._inside.append("[")
                buffer.advance(buffer.pos + 1)
            elif key == self._path[number] and char == "{":
                if last:
                    self._found = True
                    return self._record()
                self._inside.append(number + 1)
                buffer.advance(buffer.pos + 1)
            else:
                buffer.advance(self._value()[1])
        except (ValueError, RecursionError) as error:
            self._inside.clear()
            return self._lost(error)
        return None

    def _record(self) -> Item:
        buffer = self._buffer
        try:
            value, end = self._value()
        except (ValueError, RecursionError) as error:
            return self._lost(error)
        position, piece = buffer.at, buffer.text[buffer.pos : end]
        raw, replaced = buffer.encode(piece), 0
        buffer.advance(end)
        if len(raw) > lines.MAX_LINE_BYTES:
            return lines.too_long(position, buffer.at, raw)
        if _ESCAPED.search(piece):
            decoded, replaced = self._text.coding.decode(raw)
            try:
                value = parsed(decoded)
            except (ValueError, RecursionError) as error:
                return Lost(position, buffer.at, "not_json", type(error).__name__, raw[:RAW_BYTES])
        return as_item(value, position, buffer.at, raw[:RAW_BYTES], replaced, self._text.columns)

    def _value(self) -> tuple[Any, int]:
        """The value that begins here, and where it ends. Raises ValueError or RecursionError."""
        buffer = self._buffer
        while True:
            try:
                value, end = DECODER.raw_decode(buffer.text, buffer.pos)
                if end < len(buffer.text) or isinstance(value, (dict, list, str)) or not buffer.more():
                    return value, end
                continue
            except json.JSONDecodeError as error:
                near = error.msg.startswith("Unterminated") or error.pos >= len(buffer.text) - _NEAR_END
                if near and buffer.left > lines.MAX_LINE_BYTES:
                    raise _TooLongError(f"over {lines.MAX_LINE_BYTES:,} bytes") from error
                if near and buffer.more():
                    continue
                if near and buffer.gap is not None:
                    raise _TornError from error
                if error.msg.startswith("Invalid control") and buffer.text[error.pos] not in "\r\n":
                    return LENIENT.raw_decode(buffer.text, buffer.pos)
                raise
            except RecursionError:
                raise
            except ValueError:  # a whole number of very many digits
                found, end = json.JSONDecoder(parse_int=str).raw_decode(buffer.text, buffer.pos)
                return found, end

    def _lost(self, error: Exception) -> Lost:
        """What begins here is no JSON: go to where the next record seems to begin."""
        if isinstance(error, _TornError):
            return self._behind_gap()
        buffer = self._buffer
        start, raw = buffer.at, buffer.encode(buffer.text[buffer.pos : buffer.pos + RAW_BYTES])[:RAW_BYTES]
        at = error.pos if isinstance(error, json.JSONDecodeError) else buffer.pos + 1
        message = (
            f"{error.msg} at character {at - buffer.pos} of the record" if isinstance(error, json.JSONDecodeError) else str(error)
        )
        reason = "line_too_long" if isinstance(error, _TooLongError) else "not_json"
        self._loose = True
        buffer.advance(min(max(at, buffer.pos), len(buffer.text)))
        self._search()
        return Lost(start, buffer.at, reason, message or type(error).__name__, raw, buffer.at - start)

    def _search(self) -> None:
        """Go to the next record, to a gap or to the end."""
        buffer = self._buffer
        pattern = _BEHIND if self._indent is None else re.compile(r"[\r\n]" + re.escape(self._indent) + r"(?=\{)")
        while True:
            if (found := pattern.search(buffer.text, buffer.pos)) is not None:
                return buffer.advance(found.end())
            buffer.advance(max(buffer.pos, len(buffer.text) - 2 * _NEAR_END - len(self._indent or "")))
            if not buffer.more():
                return buffer.advance(len(buffer.text))

    def _behind_gap(self) -> Lost:
        buffer = self._buffer
        gap, start, raw = buffer.gap, buffer.at, buffer.encode(buffer.text[buffer.pos :])[:RAW_BYTES]
        assert gap is not None
        buffer.advance(len(buffer.text))
        buffer.gap, self._loose = None, True
        self._search()
        return Lost(start, buffer.at, "file_unreadable", gap.message, raw, buffer.at - start + gap.lost)


class _TornError(ValueError):
    """A value is torn by a gap."""


class _TooLongError(ValueError):
    """A value is longer than a record may be."""
