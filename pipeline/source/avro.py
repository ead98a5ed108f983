"""Avro files, by fastavro (the extra `avro`)."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from typing import Any

from pipeline.contract import Fragment
from pipeline.errors import StoreError
from pipeline.source.arrow_values import REPLACED, UNREADABLE
from pipeline.store.base import Store


def check_installed() -> None:
    """Raises ModuleNotFoundError, which names it, if fastavro is not there."""
    import fastavro  # noqa: F401


def records(store: Store, fragment: Fragment, rows: int) -> Iterator[tuple[int, list[Any]]]:
    """Records in lists of so many, each with the number of its first. Raises anything for a file that is damaged."""
    _guard_logical_types()
    number = 0
    waiting: list[Any] = []
    with store.open_read(fragment.path) as stream:
        for block in _blocks(stream):
            for record in block:
                waiting.append(record)
                if len(waiting) == rows:
                    yield number, waiting
                    number, waiting = number + rows, []
    if waiting:
        yield number, waiting


def count_rows(stream: Any) -> int:
    """How many records a file holds, by the heads of its blocks. Raises ValueError for a file that is damaged, StoreError."""
    try:
        return sum(block.num_records for block in _blocks(stream))
    except StoreError:
        raise
    except Exception as error:  # whatever a damaged file makes of it
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _blocks(stream: Any) -> Iterator[Any]:
    import fastavro

    for block in fastavro.block_reader(stream, handle_unicode_errors="replace"):
        if block.num_records < 0:  # fastavro would take it for an empty one
            raise ValueError(f"a block of {block.num_records} records")
        yield block


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
    """A value as what JSON can hold; the rules are those of `pipeline.source.plain`."""
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
        lost[REPLACED] += 1
        return value.decode("utf-8", "replace")
