"""Read instants as people and programs write them. What has two readings, or none, is refused: better none than a wrong one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pipeline.source.time_formats import written

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Numbers of these many digits before the point are seconds, milliseconds, microseconds, nanoseconds since 1970: of 1973 to 2286.
_UNITS = {9: 0, 10: 0, 12: 3, 13: 3, 15: 6, 16: 6, 18: 9, 19: 9}
# Digits that may be a date as well; one that can be read both ways is refused.
_STAMPS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S"}
_ONLY_STAMPS = (8, 14, 17)
EPOCH_FORMATS = {"s": 0, "ms": 3, "us": 6, "ns": 9}

_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d*)?(?:[eE]\+?\d{1,2})?", re.ASCII)
_DOT_NET = re.compile(r"/Date\((-?\d{1,18})(?:[+-]\d{4})?\)/", re.ASCII)
# Digits, colon and space as East Asian keyboards give them.
_NARROW = str.maketrans({**{0xFF10 + i: str(i) for i in range(10)}, 0xFF1A: ":", 0x3000: " ", 0xA0: " ", 0x202F: " "})


def instant(value: Any, form: str | None = None) -> datetime | None:
    """Return the instant, in UTC, that a value of JSON, CSV or a table stands for; None for null and the empty string.

    A string is a time as `pipeline.source.time_formats.written` takes it, a date of 8, 14 or 17 digits, or a number. A number is
    seconds, milliseconds, microseconds or nanoseconds since 1970, told by its size. An object is MongoDB's {"$date": ...}. A time
    without a zone is UTC.

    Args:
        value: Any value of a record.
        form: A format of strptime or a key of EPOCH_FORMATS, by which alone strings and numbers are read then.

    Raises:
        ValueError: The value is no time, or may be two.
    """
    if value is None or value == "":
        return None
    try:
        return _checked(_instant(value, form))
    except (OverflowError, ArithmeticError) as error:
        raise ValueError(str(error)) from error


def check_form(form: str) -> None:
    """Check that a format tells instants for certain.

    Args:
        form: A format of strptime, or a key of EPOCH_FORMATS.

    Raises:
        ValueError: It tells no year, names zones in words, or is nothing that strptime takes.
    """
    if form in EPOCH_FORMATS:
        return
    codes = set(re.findall(r"%(.)", form.replace("%%", "")))
    if "Z" in codes:
        raise ValueError("%Z is read without its meaning by strptime; use %z for offsets")
    if not codes & set("YyGcx"):
        raise ValueError("it tells no year")
    try:
        datetime.strptime(datetime(2026, 11, 20, tzinfo=UTC).strftime(form), form)
    except ValueError as error:
        raise ValueError(f"strptime does not take it: {error}") from error


def _checked(found: datetime) -> datetime:
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


def _instant(value: Any, form: str | None) -> datetime:
    match value:
        case datetime():
            return value
        case date():
            return datetime(value.year, value.month, value.day)
        case Mapping():
            return _mongo(value)
        case str() | float():
            return _told(value, form)
        case int() if not isinstance(value, bool):
            return _told(value, form)
    raise ValueError(f"a {type(value).__name__} is no time")


def _told(value: str | float, form: str | None) -> datetime:
    text = str(value).strip() if isinstance(value, str) else repr(value)
    if len(text) > 100:
        raise ValueError("too long for a time")
    if form is not None:
        return _since(Decimal(text), EPOCH_FORMATS[form]) if form in EPOCH_FORMATS else datetime.strptime(text, form)
    text = text.translate(_NARROW).strip()
    if _NUMBER.fullmatch(text):
        return _number(Decimal(text))
    if (match := _DOT_NET.fullmatch(text)) is not None:
        return _since(Decimal(match[1]), 3)
    return written(text)


def _number(number: Decimal) -> datetime:
    whole = int(number)
    digits = len(str(whole)) if whole > 0 else 0
    if digits in _STAMPS and (stamp := _stamp(str(whole), digits)) is not None:
        if digits not in _ONLY_STAMPS:
            raise ValueError("a date in digits, or a number of seconds")
        if number != whole:
            raise ValueError("a date in digits has no fraction")
        return stamp
    if digits not in _UNITS:
        raise ValueError("a number of this size is no time")
    return _since(number, _UNITS[digits])


def _stamp(digits: str, length: int) -> datetime | None:
    if not "1900" <= digits[:4] < "2100":
        return None
    try:
        found = datetime.strptime(digits[:14], _STAMPS[length])
    except ValueError:
        return None
    return found + timedelta(milliseconds=int(digits[14:] or 0))


def _since(number: Decimal, digits: int) -> datetime:
    if not number.is_finite() or abs(number) > Decimal(10) ** (12 + digits):
        raise ValueError("no instant of the years 1 to 9999")
    return _EPOCH + timedelta(microseconds=int((number * Decimal(10) ** (6 - digits)).to_integral_value("ROUND_FLOOR")))


def _mongo(value: Mapping[str, Any]) -> datetime:
    """MongoDB Extended JSON: a number under $date is milliseconds, whatever its size."""
    if len(value) != 1:
        raise ValueError("an object is no time")
    ((key, inner),) = value.items()
    if key == "$numberLong" and isinstance(inner, (str, int)) and not isinstance(inner, bool):
        return _number(Decimal(str(inner)))
    if key != "$date":
        raise ValueError("an object is no time")
    if isinstance(inner, Mapping):
        inner = inner.get("$numberLong") if len(inner) == 1 else None
        inner = int(inner) if isinstance(inner, str) and re.fullmatch(r"-?\d{1,19}", inner, re.ASCII) else inner
    if isinstance(inner, (int, float)) and not isinstance(inner, bool):
        return _since(Decimal(repr(inner)), 3)
    if not isinstance(inner, str):
        raise ValueError("a $date without a time")
    return _instant(inner, None)
