"""Entities and classes as users write them, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from models.errors import LabelledDataError


class LabelledSpan(NamedTuple):
    """An entity: where it begins and ends (exclusive), in code points, and its type."""

    start: int
    end: int
    label: str


def spans_of(marked: Any, text: str, where: str) -> tuple[LabelledSpan, ...]:
    """Read the entities of a document: objects with `start`, `end` and `label`, or lists of these three, as in spaCy's.

    Args:
        marked: What stands in the document.
        text: Its text.
        where: Its file and line, for messages.

    Returns:
        The entities, in order.

    Raises:
        LabelledDataError: This is no list of entities, or one of them cannot be.
    """
    if not isinstance(marked, list):
        raise LabelledDataError(f"{where}: entities must be a list, not a {type(marked).__name__}")
    return checked([_span(one, where) for one in marked], text, where)


def _span(one: Any, where: str) -> LabelledSpan:
    if isinstance(one, dict):
        values = [one.get("start"), one.get("end"), one.get("label", one.get("type"))]
    else:
        values = list(one) if isinstance(one, list) else []
    match values:
        case [int(start), int(end), str(label)] if not isinstance(start, bool) and not isinstance(end, bool):
            return LabelledSpan(start, end, label)
    raise LabelledDataError(
        f"{where}: {one!r} is no entity; write {{'start': 0, 'end': 5, 'label': 'PRODUCT'}} or [0, 5, 'PRODUCT']"
    )


def checked(spans: Iterable[LabelledSpan], text: str, where: str) -> tuple[LabelledSpan, ...]:
    """Return entities in order, if all of them can be.

    Args:
        spans: The entities of a text.
        text: The text.
        where: Its file and line, for messages.

    Returns:
        The entities, each without white space at its ends.

    Raises:
        LabelledDataError: One lies outside of the text, holds nothing, has a name that cannot be one, or overlaps another.
    """
    found = []
    for start, end, label in sorted(set(spans)):
        if not 0 <= start < end <= len(text):
            raise LabelledDataError(
                f"{where}: entity {start} to {end} is not inside the text, which has {len(text)} code points (offsets count"
                " code points, not bytes, and the end is exclusive)"
            )
        if not label.strip() or label == "O" or not label.isprintable():
            raise LabelledDataError(f"{where}: {label!r} cannot be the type of an entity")
        inside = text[start:end]
        if not inside.strip():
            raise LabelledDataError(f"{where}: entity {start} to {end} holds white space alone")
        before, after = len(inside) - len(inside.lstrip()), len(inside) - len(inside.rstrip())
        found.append(LabelledSpan(start + before, end - after, label.strip()))
    for one, other in pairwise(found):
        if other.start < one.end:
            raise LabelledDataError(
                f"{where}: entities {one.start} to {one.end} ({one.label}) and {other.start} to {other.end} ({other.label})"
                " overlap; a text may have only one entity at a place"
            )
    return tuple(found)


def named_class(label: Any, where: str) -> str | None:
    """Read the class of a document.

    Args:
        label: What stands in the document: a string, or a list of one.
        where: Its file and line, for messages.

    Returns:
        The class; None if there is none.

    Raises:
        LabelledDataError: It is no string, or there are several.
    """
    if isinstance(label, list):
        if len(label) > 1:
            raise LabelledDataError(f"{where}: {len(label)} classes ({', '.join(map(str, label))}); a text has one")
        label = label[0] if label else None
    if label is None:
        return None
    if not isinstance(label, str):
        raise LabelledDataError(f"{where}: its class is a {type(label).__name__}, not a string; --label-column names the field")
    name = label.strip()
    if not name.isprintable():
        raise LabelledDataError(f"{where}: {label!r} cannot be the name of a class")
    return name or None


def kinds(spans: Sequence[Sequence[LabelledSpan] | None]) -> tuple[str, ...]:
    """Return the types that occur, in alphabetical order.

    Args:
        spans: The entities of each document.
    """
    return tuple(sorted({span.label for some in spans for span in some or ()}))
