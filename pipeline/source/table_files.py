"""The rows of tables of every format, of the columns that are wanted alone. For the child process: a corrupt file may end it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from pipeline.contract import Columns, Fragment
from pipeline.source import avro
from pipeline.source.arrow_values import UNREADABLE, plain
from pipeline.source.fields import id_names, text_names, time_names, top_of
from pipeline.store.base import Store
from pipeline.store.parquet import arrow_batches, batches, parquet_file, without_stored_types

BATCH_ROWS = 1024
BATCH_BYTES = 16 << 20
# So many columns are read of a table without a text, for its dead letters.
SHOWN_COLUMNS = 32


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table from number `first` on: of each column the values, see `plain`. `typed`: the column of the time, if
    it has Arrow's times or dates, which are strings here. `counts` of what was lost.
    """

    first: int
    size: int
    columns: dict[str, list[Any]]
    typed: list[str]
    counts: dict[str, int]


def rows_of(store: Store, fragment: Fragment, columns: Columns) -> Iterator[Rows]:
    """The fragment's rows, at most BATCH_ROWS and about BATCH_BYTES at a time. Raises anything for what cannot be read."""
    base: int | None = None
    after = 0
    for first, batch in _BATCHES[fragment.format](store, fragment, columns):
        base = first if base is None else base
        after = first + len(batch)
        rows, step = (_of_records, BATCH_ROWS) if isinstance(batch, list) else (_of_batch, _step(batch))
        for start, size in _within(fragment, base, first, len(batch)):
            for at in range(start, start + size, step):
                end = min(at + step, start + size)
                yield rows(first + at, batch[at:end], columns)
        if fragment.skip is not None and after >= base + fragment.skip + (fragment.rows or 0):
            return
    _check_rows(fragment, after - (base or 0))


def _check_rows(fragment: Fragment, given: int) -> None:
    """Raises OSError if a file holds another number of rows than its own footer says: it is damaged."""
    wanted_rows = fragment.rows if fragment.skip is None or fragment.rows is None else fragment.skip + fragment.rows
    if wanted_rows is not None and given != wanted_rows:
        raise OSError(f"its footer counts {fragment.rows} rows, {given} are there")


def _within(fragment: Fragment, base: int, first: int, rows: int) -> Iterator[tuple[int, int]]:
    """Where in a batch the rows of the fragment begin, and how many they are; nothing if it holds none of them."""
    low, high = 0, rows
    if fragment.skip is not None:
        low = max(0, base + fragment.skip - first)
        high = min(rows, base + fragment.skip + (fragment.rows or 0) - first)
    if low < high:
        yield low, high - low


def _step(batch: pa.RecordBatch) -> int:
    """Rows at a time. Of `nbytes` Arrow 26 dies where a list view of unions is empty; this counts buffers as a whole."""
    held = max(1, int(batch.get_total_buffer_size()))
    return max(1, min(BATCH_ROWS, int(batch.num_rows) * BATCH_BYTES // held))


def _of_batch(first: int, batch: pa.RecordBatch, columns: Columns) -> Rows:
    # Of several columns of one name the last counts, as in JSON; of CSV the first.
    places = {name: i for i, name in enumerate(batch.schema.names)}
    texts, times = _tops(columns, places)
    counts: Counter[str] = Counter()
    found, typed = {}, []
    for name, i in places.items():
        lost: Counter[str] = Counter()
        found[name] = plain(batch.column(i), lost, name in texts)
        if name in times:
            lost["unreadable_times"] = lost.pop(UNREADABLE, 0)
            kind = batch.schema.field(i).type
            if kinds.is_timestamp(kind) or kinds.is_date(kind):
                typed.append(name)
        counts.update(lost)
    return Rows(first, batch.num_rows, found, typed, dict(+counts))


def _of_records(first: int, records: Sequence[Any], columns: Columns) -> Rows:
    counts: Counter[str] = Counter()
    names = dict.fromkeys(name for record in records if isinstance(record, dict) for name in record)
    texts, times = _tops(columns, names)
    found = {}
    for name in wanted(list(names), columns):
        top = top_of(name, names) or name
        lost: Counter[str] = Counter()
        values = [record.get(top) if isinstance(record, dict) else None for record in records]
        found[top] = [avro.plain_value(value, lost, top in texts) for value in values]
        if top in times:
            lost["unreadable_times"] = lost.pop(UNREADABLE, 0)
        counts.update(lost)
    return Rows(first, len(records), found, [], dict(+counts))


def _tops(columns: Columns, names: Any) -> tuple[set[str | None], set[str | None]]:
    """The columns that hold the text, and those that hold the time."""
    texts = {top_of(name, names) for name in (columns.text, *text_names(columns))}
    times = [top for name in time_names(columns) if (top := top_of(name, names)) is not None]
    return texts, set(times[:1])


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


def _parquet(store: Store, fragment: Fragment, columns: Columns) -> Iterator[tuple[int, pa.RecordBatch]]:
    after = -1
    try:
        for number, batch in _row_groups(parquet_file(store.open_read(fragment.path)), fragment, columns):
            yield number, batch
            after = number + batch.num_rows
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        try:
            file = without_stored_types(store.open_read(fragment.path))
        except (pa.ArrowException, OSError, ValueError):
            raise error from None  # it has no footer that could be read in another way
        for number, batch in _row_groups(file, fragment, columns):
            seen = max(0, after - number)
            if seen < batch.num_rows:
                yield number + seen, batch.slice(seen)


def _row_groups(file: Any, fragment: Fragment, columns: Columns) -> Iterator[tuple[int, pa.RecordBatch]]:
    whole = fragment.start == 0 and fragment.end == fragment.size
    groups = range(file.num_row_groups) if whole else range(fragment.start, fragment.end)
    number = sum(file.metadata.row_group(i).num_rows for i in range(groups.start))
    for batch in batches(file, wanted(file.schema_arrow.names, columns), BATCH_ROWS, groups):
        yield number, batch
        number += batch.num_rows


def _arrow(store: Store, fragment: Fragment, columns: Columns) -> Iterator[tuple[int, pa.RecordBatch]]:
    def chosen(schema: pa.Schema) -> list[int]:
        tops = {top_of(name, schema.names) for name in wanted(schema.names, columns)}
        return [i for i, name in enumerate(schema.names) if name in tops]

    number = 0
    with store.open_read(fragment.path, (0, fragment.size)) as stream:
        for batch in arrow_batches(stream, chosen):
            for column in batch.columns:
                check_offsets(column)
            yield number, batch
            number += batch.num_rows


def _orc(store: Store, fragment: Fragment, columns: Columns) -> Iterator[tuple[int, pa.RecordBatch]]:
    from pyarrow import orc

    number = 0
    with store.open_read(fragment.path) as stream:
        file = orc.ORCFile(stream)
        names = wanted(file.schema.names, columns)
        for stripe in range(file.nstripes):
            batch = file.read_stripe(stripe, names)
            yield number, batch
            number += batch.num_rows


def _avro(store: Store, fragment: Fragment, columns: Columns) -> Iterator[tuple[int, list[Any]]]:
    return avro.records(store, fragment, BATCH_ROWS)


_BATCHES: dict[str, Callable[[Store, Fragment, Columns], Iterator[tuple[int, Any]]]] = {
    "avro": _avro,
    "parquet": _parquet,
    "arrow": _arrow,
    "orc": _orc,
}


def check_offsets(array: pa.Array) -> None:
    """Raises ArrowInvalid if an array asks for memory that it does not hold. Values that are none are not looked at: they cost
    themselves alone.
    """
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        array.validate()
        kind = array.type
        if kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_map(kind):
            _rise(array.offsets)
            check_offsets(array.values)
        elif kinds.is_struct(kind):
            for i in range(kind.num_fields):
                check_offsets(array.field(i))
        elif kinds.is_dictionary(kind):
            check_offsets(array.dictionary)
        elif (width := _OFFSETS.get(kind)) is not None and len(array):
            offsets = pa.Array.from_buffers(width, len(array) + 1, [None, array.buffers()[1]], offset=array.offset)
            _rise(offsets)


def _rise(offsets: pa.Array) -> None:
    found = offsets.to_numpy(zero_copy_only=False)
    if len(found) and (found[0] < 0 or (found[1:] < found[:-1]).any()):
        raise pa.ArrowInvalid("offsets do not rise")


_OFFSETS = {pa.string(): pa.int32(), pa.binary(): pa.int32(), pa.large_string(): pa.int64(), pa.large_binary(): pa.int64()}
