"""Turn JSON values into records, or say why one is none."""

from __future__ import annotations

import json
from math import isinf
from typing import Any

from pipeline.contract import DocumentSpec
from pipeline.source.items import Item, Lost, Record

# A line of these alone is no document; they may stand before one, as where files with marks were joined, or behind a crash.
BLANK = " \t\r\n\0\ufeff"


def as_item(value: Any, position: int, end: int, raw: bytes, replaced: int, columns: DocumentSpec) -> Item:
    """Make a record of a JSON value, if it is an object.

    An object without a text column that holds an array of objects with one is no record: the message then says with which option
    these are read.

    Args:
        value: As JSON was parsed.
        position: Its first byte in the plain file.
        end: The byte behind it.
        raw: Its first bytes.
        replaced: Characters that could not be decoded.
        columns: How the input is read.

    Returns:
        The record, or what is lost instead.
    """
    if not isinstance(value, dict):
        return Lost(position, end, "not_an_object", f"a {type(value).__name__}", raw)
    if columns.text not in value and not columns.reading.json_path:
        for name, inner in value.items():
            if isinstance(inner, list) and inner and isinstance(inner[0], dict) and columns.text in inner[0]:
                hint = f"there is no {columns.text!r}, but an array {name!r} of {len(inner):,} objects that have it"
                return Lost(position, end, "no_text", f"{hint}: --json-path {name} reads them", raw)
    return Record(position, end, value, raw, replaced)


def parsed(text: str) -> Any:
    """Return the value of a JSON text; a number that no number of Python's can hold becomes the string of its digits.

    Control characters in strings are accepted.

    Args:
        text: One JSON value.

    Raises:
        JSONDecodeError: The text is no JSON.
        RecursionError: It is nested too deeply.
    """
    try:
        return LENIENT.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return _DIGITS.decode(text)


def _real(digits: str) -> float | str:
    value = float(digits)
    return digits if isinf(value) else value


DECODER = json.JSONDecoder(parse_float=_real)
# Control characters in strings are no JSON, but many a writer leaves them there.
LENIENT = json.JSONDecoder(parse_float=_real, strict=False)
_DIGITS = json.JSONDecoder(parse_float=_real, parse_int=str, strict=False)
