"""Arrow arrays of any type for property tests, with values in them that no Python object can hold."""

from __future__ import annotations

import struct
from itertools import pairwise

import pyarrow as pa
from hypothesis import strategies as st

_FLAT = [
    pa.null(), pa.bool_(), pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64(),
    pa.float16(), pa.float32(), pa.float64(), pa.date32(), pa.date64(), pa.time32("s"), pa.time32("ms"), pa.time64("us"),
    pa.time64("ns"), pa.month_day_nano_interval(), pa.decimal32(9, 2), pa.decimal64(18, 3), pa.decimal128(38, 4),
    pa.decimal256(76, -2), pa.binary(3), pa.uuid(), pa.bool8(),
    *(pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "Asia/Shanghai", "Mars/Olympus")),
    *(pa.duration(unit) for unit in ("s", "ms", "us", "ns")),
]  # fmt: skip
_BYTES = [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.json_(), pa.json_(pa.large_utf8())]
_VIEWS = [pa.string_view(), pa.binary_view()]


def _bits(flags: list[bool]) -> pa.Buffer:
    packed = bytearray((len(flags) + 7) // 8)
    for i, flag in enumerate(flags):
        packed[i // 8] |= flag << (i % 8)
    return pa.py_buffer(bytes(packed))


@st.composite
def _flat(draw: st.DrawFn, kind: pa.DataType, rows: int) -> pa.Array:
    """Any bits at all: dates of the year 5 million, times behind midnight, decimals with more digits than they may have."""
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    if storage == pa.null():
        return pa.nulls(rows)
    width = (storage.bit_width * rows + 7) // 8
    data = draw(st.binary(min_size=width, max_size=width))
    valid = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    return _wrapped(kind, pa.Array.from_buffers(storage, rows, [_bits(valid), pa.py_buffer(data)]))


def _wrapped(kind: pa.DataType, storage: pa.Array) -> pa.Array:
    return pa.ExtensionArray.from_storage(kind, storage) if isinstance(kind, pa.BaseExtensionType) else storage


@st.composite
def _bytes(draw: st.DrawFn, kind: pa.DataType, rows: int) -> pa.Array:
    """Strings that are no UTF-8, too."""
    storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    values = draw(
        st.lists(st.one_of(st.none(), st.binary(max_size=6), st.text(max_size=4).map(str.encode)), min_size=rows, max_size=rows)
    )
    large = storage in (pa.large_string(), pa.large_binary())
    plain = pa.array(values, pa.large_binary() if large else pa.binary())
    return _wrapped(kind, pa.Array.from_buffers(storage, rows, plain.buffers()))


@st.composite
def _views(draw: st.DrawFn, kind: pa.DataType, rows: int) -> pa.Array:
    values = [draw(st.one_of(st.none(), st.binary(max_size=12))) for _ in range(rows)]
    views = b"".join(struct.pack("<i12s", len(value or b""), value or b"") for value in values)
    return pa.Array.from_buffers(kind, rows, [_bits([value is not None for value in values]), pa.py_buffer(views)])


@st.composite
def arrays(draw: st.DrawFn, rows: int, depth: int = 2) -> pa.Array:
    """An array of `rows` rows of any type, nested at most so deep."""
    kind = draw(st.sampled_from([*_FLAT, *_BYTES, *_VIEWS, *list(_NESTED) * (5 if depth else 0)]))
    if isinstance(kind, str):
        return draw(_NESTED[kind](rows, depth - 1))
    made = _flat if kind in _FLAT else _views if kind in _VIEWS else _bytes
    return draw(made(kind, rows))


@st.composite
def _dictionary(draw: st.DrawFn, rows: int, depth: int) -> pa.Array:
    inner = draw(st.one_of(_bytes(pa.string(), 3), _flat(pa.timestamp("us"), 3)))
    places = draw(st.lists(st.one_of(st.none(), st.integers(0, 2)), min_size=rows, max_size=rows))
    return pa.DictionaryArray.from_arrays(pa.array(places, pa.int8()), inner)


@st.composite
def _run_ends(draw: st.DrawFn, rows: int, depth: int) -> pa.Array:
    if not rows:
        return pa.nulls(0)
    ends = sorted({*draw(st.lists(st.integers(1, rows), max_size=3)), rows})
    return pa.RunEndEncodedArray.from_arrays(pa.array(ends, pa.int32()), draw(_flat(pa.timestamp("us"), len(ends))))


@st.composite
def _struct(draw: st.DrawFn, rows: int, depth: int) -> pa.Array:
    names = ["a", draw(st.sampled_from("ab"))]
    return pa.StructArray.from_arrays([draw(arrays(rows, depth)) for _ in names], names=names)


@st.composite
def _union(draw: st.DrawFn, rows: int, depth: int) -> pa.Array:
    codes = pa.array(draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)), pa.int8())
    children = [draw(arrays(rows, depth)) for _ in range(2)]
    if draw(st.booleans()):
        return pa.UnionArray.from_sparse(codes, children)
    return pa.UnionArray.from_dense(codes, pa.array(range(rows), pa.int32()), children)


def _ends(draw: st.DrawFn, rows: int) -> list[int]:
    return [0, *sorted(draw(st.lists(st.integers(0, 6), min_size=rows, max_size=rows)))]


@st.composite
def _list(draw: st.DrawFn, rows: int, depth: int) -> pa.Array:
    ends = _ends(draw, rows)
    inner = draw(arrays(ends[-1], depth))
    if draw(st.booleans()):
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), inner)
    sizes = [b - a for a, b in pairwise(ends)]
    return pa.ListViewArray.from_arrays(pa.array(ends[:-1], pa.int32()), pa.array(sizes, pa.int32()), inner)


@st.composite
def _fixed(draw: st.DrawFn, rows: int, depth: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(draw(arrays(rows * 2, depth)), 2)


@st.composite
def _map(draw: st.DrawFn, rows: int, depth: int) -> pa.Array:
    ends = _ends(draw, rows)
    keys = pa.array([str(i) if draw(st.booleans()) else "k" for i in range(ends[-1])], pa.string())
    if draw(st.booleans()):
        keys = pa.array(range(ends[-1]), pa.int8())
    return pa.MapArray.from_arrays(pa.array(ends, pa.int32()), keys, draw(arrays(ends[-1], depth)))


_NESTED = {
    "dictionary": _dictionary,
    "run ends": _run_ends,
    "struct": _struct,
    "union": _union,
    "list": _list,
    "fixed": _fixed,
    "map": _map,
}
