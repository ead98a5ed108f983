"""Arrow values of any type as what JSON can hold; a value that cannot be told costs that value, never its neighbours."""

from __future__ import annotations

import uuid
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds

# Counts of what was lost: characters that became U+FFFD, values that became null.
REPLACED, UNREADABLE = "replaced_characters", "unreadable_values"
_EPOCH = datetime(1970, 1, 1)
_FIRST, _LAST = (int((day - _EPOCH) / timedelta(microseconds=1)) for day in (datetime.min, datetime.max))
_DAY_US = 86_400_000_000
_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}


def plain(array: pa.Array, lost: Counter[str], as_text: bool = False) -> list[Any]:
    """Convert an Arrow array of any type to values that JSON can hold.

    Times, dates, durations and intervals become ISO 8601 strings (a time with a zone in UTC), decimals and UUIDs strings. Bytes
    become the UTF-8 text that they hold or, where they hold none, hexadecimal digits. A map becomes a dict if all its keys are
    strings, else a list of pairs. A value that cannot be converted becomes None and costs nothing else.

    Args:
        array: Values of any Arrow type, shape (n,).
        lost: Is added to: under REPLACED the characters that became U+FFFD, under UNREADABLE the values that became None although
            they are not null.
        as_text: Decode bytes as UTF-8 with U+FFFD for what is invalid, instead of hexadecimal digits for the whole value.

    Returns:
        The n values, as None, bool, int, float, str, list and dict.
    """
    mine = Counter[str]()
    try:
        values = _Plain(mine, as_text).of(array)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - whatever Arrow or Python makes of a value, the others are told
        return [_one(array, i, lost, as_text) for i in range(len(array))]
    lost.update(mine)
    return values


def _one(array: pa.Array, i: int, lost: Counter[str], as_text: bool) -> Any:
    mine = Counter[str]()
    try:
        (value,) = _Plain(mine, as_text).of(array.slice(i, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001
        lost[UNREADABLE] += 1
        return None
    lost.update(mine)
    return value


class _Plain:
    def __init__(self, lost: Counter[str], as_text: bool) -> None:
        self._lost, self._as_text = lost, as_text

    def of(self, array: pa.Array) -> list[Any]:
        kind = array.type
        return next(read for is_kind, read in _READERS if is_kind(kind))(self, array)

    def as_it_is(self, array: pa.Array) -> list[Any]:
        found: list[Any] = array.to_pylist()
        return found

    def none(self, array: pa.Array) -> list[Any]:
        return [None] * len(array)

    def half(self, array: pa.Array) -> list[Any]:
        return [None if value is None else float(value) for value in array.to_pylist()]

    def string(self, array: pa.Array) -> list[Any]:
        try:
            return self.as_it_is(array)
        except UnicodeDecodeError:
            return [self._decoded(raw) for raw in array.cast(_binary_of(array.type)).to_pylist()]

    def binary(self, array: pa.Array) -> list[Any]:
        return [self._text_of(raw) for raw in array.to_pylist()]

    def _text_of(self, raw: bytes | None) -> str | None:
        if raw is None or self._as_text:
            return self._decoded(raw)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.hex()

    def _decoded(self, raw: bytes | None) -> str | None:
        if raw is None:
            return None
        text = raw.decode("utf-8", "replace")
        try:
            raw.decode()
        except UnicodeDecodeError:
            self._lost[REPLACED] += text.count("\ufffd")
        return text

    def decimal(self, array: pa.Array) -> list[Any]:
        return [None if value is None else format(Decimal(value), "f") for value in array.to_pylist()]

    def timestamp(self, array: pa.Array) -> list[Any]:
        per_second, zone = _PER_SECOND[array.type.unit], "" if array.type.tz is None else "+00:00"
        return self._told(array.cast(pa.int64()), lambda value: _moment(value * 1_000_000 // per_second).isoformat() + zone)

    def date32(self, array: pa.Array) -> list[Any]:
        return self._told(array.cast(pa.int32()), lambda days: _moment(days * _DAY_US).date().isoformat())

    def date64(self, array: pa.Array) -> list[Any]:
        return self._told(array.cast(pa.int64()), lambda ms: _moment(ms * 1000).date().isoformat())

    def time(self, array: pa.Array) -> list[Any]:
        per_second = _PER_SECOND[array.type.unit]
        whole = pa.int32() if kinds.is_time32(array.type) else pa.int64()
        return self._told(array.cast(whole), lambda value: _time_of_day(value * 1_000_000 // per_second).isoformat())

    def duration(self, array: pa.Array) -> list[Any]:
        per_second = _PER_SECOND[array.type.unit]
        return self._told(array.cast(pa.int64()), lambda value: f"PT{_seconds(value, per_second)}S")

    def interval(self, array: pa.Array) -> list[Any]:
        return self._told(array, lambda value: f"P{value[0]}M{value[1]}DT{_seconds(value[2], 1_000_000_000)}S")

    def _told(self, array: pa.Array, tell: Callable[[Any], str]) -> list[Any]:
        found: list[str | None] = []
        for value in array.to_pylist():
            try:
                found.append(None if value is None else tell(value))
            except (ValueError, OverflowError):
                self._lost[UNREADABLE] += 1
                found.append(None)
        return found

    def extension(self, array: pa.Array) -> list[Any]:
        name = array.type.extension_name
        if name == "arrow.uuid":
            return [None if raw is None else str(uuid.UUID(bytes=raw)) for raw in array.storage.to_pylist()]
        if name == "arrow.bool8":
            return [None if value is None else value != 0 for value in array.storage.to_pylist()]
        return self.of(array.storage)

    def dictionary(self, array: pa.Array) -> list[Any]:
        size = len(array.dictionary)
        places = array.indices.to_pylist()
        used = sorted({place for place in places if place is not None and 0 <= place < size})
        mine = Counter[str]()
        values = dict(zip(used, _Plain(mine, self._as_text).of(array.dictionary.take(pa.array(used, pa.int64()))), strict=True))
        self._lost[UNREADABLE] += sum(place is not None and place not in values for place in places)
        if mine:  # what is lost of a value counts in every row that has it
            return self.of(array.dictionary.take(pa.array([place if place in values else None for place in places], pa.int64())))
        return [values.get(place) for place in places]

    def run_ends(self, array: pa.Array) -> list[Any]:
        ends, values = array.run_ends.to_pylist(), self.of(array.values)
        return [values[bisect_right(ends, array.offset + i)] for i in range(len(array))]

    def rows_of_list(self, array: pa.Array) -> list[Any]:
        ends = array.offsets.to_pylist()
        values = self.of(array.values.slice(ends[0], ends[-1] - ends[0]))
        spans = zip(ends, ends[1:], array.is_valid().to_pylist(), strict=False)
        return [values[a - ends[0] : b - ends[0]] if valid else None for a, b, valid in spans]

    def other_list(self, array: pa.Array) -> list[Any]:
        return [self.of(array[i].values) if array[i].is_valid else None for i in range(len(array))]

    def map(self, array: pa.Array) -> list[Any]:
        ends = array.offsets.to_pylist()
        span = ends[0], ends[-1] - ends[0]
        keys, items = self.of(array.keys.slice(*span)), self.of(array.items.slice(*span))
        found: list[Any] = []
        for a, b, valid in zip(ends, ends[1:], array.is_valid().to_pylist(), strict=False):
            pairs = list(zip(keys[a - ends[0] : b - ends[0]], items[a - ends[0] : b - ends[0]], strict=True))
            named = all(isinstance(key, str) for key, _ in pairs)
            found.append((dict(pairs) if named else [list(pair) for pair in pairs]) if valid else None)
        return found

    def struct(self, array: pa.Array) -> list[Any]:
        names = [field.name for field in array.type]
        children = [self.of(array.field(i)) for i in range(len(names))]
        rows = zip(*children, strict=True) if children else [()] * len(array)
        valid = array.is_valid().to_pylist()
        return [dict(zip(names, row, strict=True)) if there else None for row, there in zip(rows, valid, strict=True)]

    def union(self, array: pa.Array) -> list[Any]:
        codes = {code: i for i, code in enumerate(array.type.type_codes)}
        children = [self.of(array.field(i)) for i in range(array.type.num_fields)]
        buffers = array.buffers()
        mine = slice(array.offset, array.offset + len(array))
        chosen = np.frombuffer(buffers[1] or b"", np.int8)[mine].tolist()
        # Arrow cuts the children of a sparse union as the union is cut; those of a dense one stay whole.
        dense = array.type.mode == "dense"
        places: Sequence[int] = np.frombuffer(buffers[2] or b"", np.int32)[mine].tolist() if dense else range(len(array))
        return [children[codes[code]][place] for code, place in zip(chosen, places, strict=True)]


def _moment(microseconds: int) -> datetime:
    if not _FIRST <= microseconds <= _LAST:
        raise OverflowError("before the year 1, or behind the year 9999")
    return _EPOCH + timedelta(microseconds=microseconds)


def _time_of_day(microseconds: int) -> time:
    if not 0 <= microseconds < _DAY_US:
        raise OverflowError("not within a day")
    return _moment(microseconds).time()


def _seconds(value: int, per_second: int) -> str:
    whole, part = divmod(abs(value), per_second)
    fraction = f".{part:0{len(str(per_second)) - 1}d}".rstrip("0") if part else ""
    return f"{'-' if value < 0 else ''}{whole}{fraction}"


def _binary_of(kind: pa.DataType) -> pa.DataType:
    if kinds.is_string_view(kind):
        return pa.binary_view()
    return pa.large_binary() if kinds.is_large_string(kind) else pa.binary()


_READERS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[_Plain, pa.Array], list[Any]]], ...] = (
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _Plain.extension),
    (lambda kind: kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind), _Plain.string),
    (lambda kind: kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_binary_view(kind), _Plain.binary),
    (kinds.is_fixed_size_binary, _Plain.binary),
    (kinds.is_dictionary, _Plain.dictionary),
    (kinds.is_timestamp, _Plain.timestamp),
    (kinds.is_date32, _Plain.date32),
    (kinds.is_date64, _Plain.date64),
    (kinds.is_time, _Plain.time),
    (kinds.is_duration, _Plain.duration),
    (kinds.is_interval, _Plain.interval),
    (kinds.is_decimal, _Plain.decimal),
    (kinds.is_float16, _Plain.half),
    (kinds.is_null, _Plain.none),
    (kinds.is_map, _Plain.map),
    (lambda kind: kinds.is_list(kind) or kinds.is_large_list(kind), _Plain.rows_of_list),
    (
        lambda kind: kinds.is_fixed_size_list(kind) or kinds.is_list_view(kind) or kinds.is_large_list_view(kind),
        _Plain.other_list,
    ),
    (kinds.is_struct, _Plain.struct),
    (kinds.is_union, _Plain.union),
    (kinds.is_run_end_encoded, _Plain.run_ends),
    (lambda kind: True, _Plain.as_it_is),
)
