"""Values of Arrow as JSON has them: times in ISO 8601, 32-bit numbers with their own digits, bytes as text."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

_As = Callable[[Any], Any]


def json_rows(batch: pa.RecordBatch) -> list[list[Any]]:
    """Return the rows of a batch, each a list of values that JSON knows.

    Args:
        batch: The batch.
    """
    columns = []
    for column in batch.columns:
        convert, values = _converter(column.type), column.to_pylist()
        columns.append(values if convert is None else [None if value is None else convert(value) for value in values])
    return [list(row) for row in zip(*columns, strict=True)]


def unique_names(names: list[str]) -> list[str]:
    """Return names of columns of which no two are the same: of equal ones the later are numbered.

    Args:
        names: The names.
    """
    found: list[str] = []
    for name in names:
        number, new = 1, name
        while new in found:
            new, number = f"{name}_{number}", number + 1
        found.append(new)
    return found


def _converter(kind: pa.DataType) -> _As | None:
    """How values of a type become JSON; None if they are already."""
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        return lambda value: _finite(float(str(np.float32(value))))
    if pa.types.is_float64(kind):
        return _finite
    if pa.types.is_timestamp(kind):
        return lambda value: value.isoformat().replace("+00:00", "Z")
    if pa.types.is_date(kind) or pa.types.is_time(kind):
        return lambda value: value.isoformat()
    if pa.types.is_decimal(kind):
        return _number
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return lambda value: value.decode("utf-8", "replace")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        inner = _converter(kind.value_type)
        return None if inner is None else partial(_each, inner)
    if pa.types.is_struct(kind):
        fields = {field.name: made for field in kind if (made := _converter(field.type)) is not None}
        return partial(_fields, fields) if fields else None
    if pa.types.is_map(kind):
        return partial(_pairs, _converter(kind.key_type), _converter(kind.item_type))
    return None if pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind) else _other


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _other(value: Any) -> Any:
    return value if isinstance(value, (str, int)) else str(value)


def _each(convert: _As, values: list[Any]) -> list[Any]:
    return [None if value is None else convert(value) for value in values]


def _fields(converters: dict[str, _As], value: dict[str, Any]) -> dict[str, Any]:
    found = ((name, one, converters.get(name)) for name, one in value.items())
    return {name: one if one is None or convert is None else convert(one) for name, one, convert in found}


def _pairs(key: _As | None, item: _As | None, pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    return {str(name if key is None else key(name)): one if one is None or item is None else item(one) for name, one in pairs}
