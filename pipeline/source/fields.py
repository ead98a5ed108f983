"""What of a record is its text, id, time and source: literal names, paths with points, several columns, usual names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from pipeline.contract import Columns

# What is taken, the first that a record has, where the settings name no column; see Columns.usual.
USUAL = {"id": ("id",), "time": ("created_at", "timestamp", "date", "time", "created_utc")}
MISSING: Any = object()
# So many columns are read of a table without a text, for its dead letters.
SHOWN_COLUMNS = 32
_SURROGATE = re.compile("[\ud800-\udfff]")


class NoTextError(Exception):
    """A record holds no text."""


def find(record: Mapping[str, Any], name: str) -> Any:
    """The value of a column, MISSING if there is none. "a.b" is the column of that name, or b within a."""
    if name in record:
        return record[name]
    at = name.find(".")
    while at >= 0:
        inner = record.get(name[:at])
        if isinstance(inner, Mapping) and (found := find(inner, name[at + 1 :])) is not MISSING:
            return found
        at = name.find(".", at + 1)
    return MISSING


def text_names(columns: Columns) -> tuple[str, ...]:
    """The columns that the text is made of, if there is none that bears the whole name."""
    names = tuple(name.strip() for name in columns.text.split(",") if name.strip())
    return names if columns.separator is not None and len(names) > 1 else (columns.text,)


def id_names(columns: Columns) -> tuple[str, ...]:
    """Columns that may hold the id; the first that a record has counts."""
    if columns.id is not None:
        return (columns.id,)
    return _unused("id", columns) if "id" in columns.usual else ()


def time_names(columns: Columns) -> tuple[str, ...]:
    """Columns that may hold the time; the first that a record has counts."""
    if columns.time_from != "column":
        return ()
    if "time" in columns.usual:
        return _unused("time", columns)
    return (columns.time,) if columns.time else ()


def roles(columns: Columns) -> dict[str, tuple[str, ...]]:
    """Beside the text: what a column may be, and which ones may be that."""
    return {"id": id_names(columns), "time": time_names(columns), "source": (columns.source,)}


def _unused(role: str, columns: Columns) -> tuple[str, ...]:
    taken = {columns.text, *text_names(columns), columns.source}
    return tuple(name for name in USUAL[role] if name not in taken)


def first_of(record: Mapping[str, Any], names: Iterable[str]) -> tuple[str, Any]:
    """The first of some columns that the record has, and its value; "" and None if it has none."""
    return next(((name, value) for name in names if (value := find(record, name)) is not MISSING), ("", None))


def names_text(header: Iterable[str], columns: Columns) -> bool:
    """Whether a text can be made of columns of these names."""
    names = set(header)
    return columns.text in names or any(top_of(name, names) is not None for name in text_names(columns))


def top_of(name: str, header: Iterable[str]) -> str | None:
    """The column in which `find` looks for a name: of that name, or one that may hold the rest of it; None if none is there."""
    names = set(header)
    parts = name.split(".")
    return next((top for n in range(len(parts), 0, -1) if (top := ".".join(parts[:n])) in names), None)


def wanted(names: Sequence[str], columns: Columns) -> list[str]:
    """Which of a table's columns are needed, names or paths within structs; all, up to a limit, if none is a text."""
    asked = (columns.text,) if columns.text in names else text_names(columns)
    texts = [name for name in asked if top_of(name, names) is not None]
    if not texts:
        return list(dict.fromkeys(names))[:SHOWN_COLUMNS]
    found = dict.fromkeys(texts)
    for several in (id_names(columns), time_names(columns)):
        found |= dict.fromkeys([name for name in several if top_of(name, names) is not None][:1])
    found |= dict.fromkeys(name for name in (columns.source, *columns.keep) if top_of(name, names) is not None)
    return list(found)


def text_of(record: Mapping[str, Any], columns: Columns) -> str:
    """The text: a string, a list of strings joined, or several columns joined, all by `columns.separator`; nulls are left out.

    Raises NoTextError, which says what is there instead.
    """
    value = find(record, columns.text)
    if isinstance(value, str):
        return value
    names = (columns.text,) if value is not MISSING else text_names(columns)
    parts = [part for name in names for part in _strings(find(record, name), name, columns)]
    if columns.separator is None or not parts:
        lacking = "missing" if all(find(record, name) is MISSING for name in names) else "null or empty"
        raise NoTextError(f"column {columns.text!r} is {lacking}")
    return columns.separator.join(parts)


def _strings(value: Any, name: str, columns: Columns) -> list[str]:
    if isinstance(value, str):
        return [value]
    if value is MISSING or (value is None and columns.separator is not None):
        return []
    if not isinstance(value, list) or columns.separator is None:
        raise NoTextError(f"column {name!r} is a {_kind(value)}")
    found = [one for one in value if one is not None]
    if others := [one for one in found if not isinstance(one, str)]:
        raise NoTextError(f"column {name!r} is a list that holds a {_kind(others[0])}")
    return found


def _kind(value: Any) -> str:
    return type(value).__name__


def as_string(value: Any) -> str | None:
    """A carried value: strings as they are, dates as ISO 8601, everything else as JSON. Lone surrogates become U+FFFD.

    Raises ValueError for what JSON cannot say.
    """
    if value is None:
        return None
    if isinstance(value, date):
        value = value.isoformat()
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return _SURROGATE.sub("\ufffd", text)


def as_id(value: Any) -> str | None:
    """An id as a string; None where there is none, as NaN stands for in tables that pandas has written."""
    return None if isinstance(value, float) and value != value else as_string(value) or None


def as_json(record: Mapping[str, Any]) -> bytes:
    """A record for a dead letter, as JSON."""
    try:
        return json.dumps(record, ensure_ascii=False, default=str).encode("utf-8", "replace")
    except (RecursionError, ValueError):
        return b""
