"""Find the text, id, time and source of a record: by literal names, dotted paths, several columns or the usual names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from pipeline.contract import DocumentSpec

# What is taken, the first that a record has, where the settings name no column; see Columns.usual.
USUAL = {"id": ("id",), "time": ("created_at", "timestamp", "date", "time", "created_utc")}
MISSING: Any = object()
# So many columns are read of a table without a text, for its dead letters.
SHOWN_COLUMNS = 32
_SURROGATE = re.compile("[\ud800-\udfff]")


class NoTextError(Exception):
    """A record holds no text; the message says what is there instead."""


def find(record: Mapping[str, Any], name: str) -> Any:
    """Look up a value by the name of its column or by a dotted path.

    A column that bears the whole name goes before a path: `a.b` is that column, or else `b` within `a`.

    Args:
        record: Values by column name.
        name: Of a column, or a path.

    Returns:
        The value; MISSING if there is none.
    """
    if name in record:
        return record[name]
    at = name.find(".")
    while at >= 0:
        inner = record.get(name[:at])
        if isinstance(inner, Mapping) and (found := find(inner, name[at + 1 :])) is not MISSING:
            return found
        at = name.find(".", at + 1)
    return MISSING


def text_names(columns: DocumentSpec) -> tuple[str, ...]:
    """Return the columns whose strings are joined to the text of a record that has no column of the whole name.

    Args:
        columns: With a `separator`, `text` names several with commas between them; otherwise `text` is the one column.
    """
    names = tuple(name.strip() for name in columns.text.split(",") if name.strip())
    return names if columns.separator is not None and len(names) > 1 else (columns.text,)


def id_names(columns: DocumentSpec) -> tuple[str, ...]:
    """Return the columns that may hold the id, of which the first that a record has counts.

    Args:
        columns: Names the column, or says that the usual names are looked for.
    """
    if columns.id is not None:
        return (columns.id,)
    return _unused("id", columns) if "id" in columns.usual else ()


def time_names(columns: DocumentSpec) -> tuple[str, ...]:
    """Return the columns that may hold the time, of which the first that a record has counts.

    Args:
        columns: Names the column, or says that the usual names are looked for, or that the time comes of the path.
    """
    if columns.time_from != "column":
        return ()
    if "time" in columns.usual:
        return _unused("time", columns)
    return (columns.time,) if columns.time else ()


def roles(columns: DocumentSpec) -> dict[str, tuple[str, ...]]:
    """Return the columns that may hold the id, the time and the source, by role.

    Args:
        columns: Which columns are what.
    """
    return {"id": id_names(columns), "time": time_names(columns), "source": (columns.source,)}


def _unused(role: str, columns: DocumentSpec) -> tuple[str, ...]:
    taken = {columns.text, *text_names(columns), columns.source}
    return tuple(name for name in USUAL[role] if name not in taken)


def first_of(record: Mapping[str, Any], names: Iterable[str]) -> tuple[str, Any]:
    """Look up the first of some columns that a record has.

    Args:
        record: Values by column name.
        names: Of columns, or paths.

    Returns:
        The name and the value; an empty name and None if the record has none of them.
    """
    return next(((name, value) for name in names if (value := find(record, name)) is not MISSING), ("", None))


def names_text(header: Iterable[str], columns: DocumentSpec) -> bool:
    """Whether a text can be made of columns of these names.

    Args:
        header: Names of columns.
        columns: Tells what the text is made of.
    """
    names = set(header)
    return columns.text in names or any(top_of(name, names) is not None for name in text_names(columns))


def top_of(name: str, header: Iterable[str]) -> str | None:
    """Find the column in which `find` looks for a name.

    Args:
        name: Of a column, or a path.
        header: Names of the columns that there are.

    Returns:
        The column of that name or of its longest beginning; None if there is none.
    """
    names = set(header)
    parts = name.split(".")
    return next((top for n in range(len(parts), 0, -1) if (top := ".".join(parts[:n])) in names), None)


def wanted(names: Sequence[str], columns: DocumentSpec) -> list[str]:
    """Choose the columns of a table that are to be read.

    Args:
        names: Those that the table has.
        columns: Which columns are what.

    Returns:
        Names of columns or paths within structs: of the text, the id, the time, the source and what is kept. If there is no text,
        the first SHOWN_COLUMNS columns, for the dead letters.
    """
    asked = (columns.text,) if columns.text in names else text_names(columns)
    texts = [name for name in asked if top_of(name, names) is not None]
    if not texts:
        return list(dict.fromkeys(names))[:SHOWN_COLUMNS]
    found = dict.fromkeys(texts)
    for several in (id_names(columns), time_names(columns)):
        found |= dict.fromkeys([name for name in several if top_of(name, names) is not None][:1])
    found |= dict.fromkeys(name for name in (columns.source, *columns.keep) if top_of(name, names) is not None)
    return list(found)


def text_of(record: Mapping[str, Any], columns: DocumentSpec) -> str:
    """Return the text of a record: a string, or the strings of a list or of several columns joined by `columns.separator`.

    Nulls are left out.

    Args:
        record: Values by column name.
        columns: Tells what the text is made of; without a separator only a string is a text.

    Raises:
        NoTextError: There is no text, or something else in its place.
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


def _strings(value: Any, name: str, columns: DocumentSpec) -> list[str]:
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
    """Return a carried value as a string: dates in ISO 8601, what is no string as JSON; null stays None.

    Lone surrogates become U+FFFD.

    Args:
        value: Any value of a record.

    Raises:
        ValueError: The value is nested too deeply for JSON.
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
    """Return an id as a string, or None for null, the empty string and NaN, which pandas writes where an id is missing.

    Args:
        value: Any value of a record.

    Raises:
        ValueError: The value is nested too deeply for JSON.
    """
    return None if isinstance(value, float) and value != value else as_string(value) or None


def as_json(record: Mapping[str, Any]) -> bytes:
    """Return a record as JSON for a dead letter, in UTF-8; empty if JSON cannot hold it.

    Args:
        record: Values by column name.
    """
    try:
        return json.dumps(record, ensure_ascii=False, default=str).encode("utf-8", "replace")
    except (RecursionError, ValueError):
        return b""
