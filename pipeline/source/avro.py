"""Avro files, by fastavro (the extra `avro`)."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from typing import Any

from pipeline.contract import Fragment
from pipeline.source.arrow_values import REPLACED, UNREADABLE
from pipeline.source.avro_blocks import blocks
from pipeline.source.damaged import Damaged, Found, said
from pipeline.store.base import Store


def check_installed() -> None:
    """Check that fastavro is installed, which the extra `avro` brings.

    Raises:
        ModuleNotFoundError: It is not; the error names it.
    """
    import fastavro  # noqa: F401


def records(store: Store, fragment: Fragment, rows: int) -> Found:
    """Read the records of an Avro file in lists; a damaged block costs its own records alone.

    Args:
        store: Holds the file.
        fragment: The whole file. If `rows` is None, the file's blocks could not be counted; then a block whose header is damaged
            is skipped as well, up to the next sync marker.
        rows: Records per list, at most.

    Yields:
        The number of the first record, from 0, and a list of records or the damaged ones.

    Raises:
        StoreError: The file cannot be opened or read.
        Exception: Whatever fastavro raises for a damaged block behind which no other one is found.
    """
    _guard_logical_types()
    number = 0
    waiting: list[Any] = []
    with store.open_read(fragment.path) as stream:
        for count, block in blocks(stream, fragment.rows is None):
            lost, given = "", 0
            try:
                for record in block if not isinstance(block, str) else ():
                    waiting.append(record)
                    given += 1
                    if len(waiting) == rows:
                        yield number, waiting
                        number, waiting = number + rows, []
            except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of it
                lost = said(error, "a block")
            if isinstance(block, str) or lost:
                if waiting:
                    yield number, waiting
                number, waiting = number + len(waiting), []
                yield number, Damaged(number, count - given, block if isinstance(block, str) else lost)
                number += count - given if fragment.rows is not None else max(1, count - given)
    if waiting:
        yield number, waiting


class _Unreadable:
    """A value of a logical type, such as an instant, that Python has no object for."""


@cache
def _guard_logical_types() -> None:
    """Let a value that cannot be told cost itself alone, not the file from there on."""
    from fastavro import read

    def guarded(reader: Any) -> Any:
        def read_one(data: Any, writer_schema: Any = None, reader_schema: Any = None) -> Any:
            try:
                return reader(data, writer_schema, reader_schema)
            except Exception:  # noqa: BLE001 - overflows, digits that are none, whatever a type raises
                return _Unreadable()

        return read_one

    for name, reader in list(read.LOGICAL_READERS.items()):
        read.LOGICAL_READERS[name] = guarded(reader)


def plain_value(value: Any, lost: Counter[str], as_text: bool = False) -> Any:
    """Convert a value that fastavro has read to one that JSON can hold.

    The rules are those of `pipeline.source.arrow_values.plain`.

    Args:
        value: Of any Avro type, as fastavro gives it.
        lost: Is added to: under REPLACED the characters that became U+FFFD, under UNREADABLE the values that became None although
            they are not null.
        as_text: Decode bytes as UTF-8 with U+FFFD for what is invalid, instead of hexadecimal digits for the whole value.

    Returns:
        None, bool, int, float, str, list or dict.
    """
    match value:
        case _Unreadable():
            lost[UNREADABLE] += 1
            return None
        case str():
            lost[REPLACED] += value.count("\ufffd")
            return value
        case bytes():
            return _of_bytes(value, lost, as_text)
        case dict():
            return {str(key): plain_value(inner, lost, as_text) for key, inner in value.items()}
        case list() | tuple():
            return [plain_value(inner, lost, as_text) for inner in value]
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case uuid.UUID():
            return str(value)
        case None | bool() | int() | float():
            return value
    lost[UNREADABLE] += 1
    return None


def _of_bytes(value: bytes, lost: Counter[str], as_text: bool) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        if not as_text:
            return value.hex()
        text = value.decode("utf-8", "replace")
        lost[REPLACED] += text.count("\ufffd")
        return text
