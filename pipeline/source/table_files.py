"""Read the rows of tables of every format, only the columns that are wanted, in a child process that a corrupt file may end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from pipeline.contract import DocumentSpec, Fragment
from pipeline.source import avro
from pipeline.source.arrow_values import UNREADABLE, plain
from pipeline.source.damaged import Damaged, Found, joined
from pipeline.source.fields import text_names, time_names, top_of, wanted
from pipeline.source.table_pieces import BATCH_ROWS, arrow, parquet, stripes
from pipeline.store.base import Store

BATCH_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table.

    Attributes:
        first: Number of the first of them, from 0.
        size: How many they are.
        columns: The values of each column, as `pipeline.source.arrow_values.plain` gives them.
        typed: The column of the time, if it has Arrow's timestamps or dates, which are strings here.
        counts: What was lost, by kind.
    """

    first: int
    size: int
    columns: dict[str, list[Any]]
    typed: list[str]
    counts: dict[str, int]


def rows_of(store: Store, fragment: Fragment, columns: DocumentSpec) -> Iterator[Rows | Damaged]:
    """Read the rows of a fragment, at most BATCH_ROWS and about BATCH_BYTES at a time.

    Args:
        store: Holds the file.
        fragment: What is to be read.
        columns: Which columns are wanted.

    Yields:
        Rows, and those that are damaged, in order.

    Raises:
        StoreError: The file cannot be opened or read.
        OSError: The file holds another number of rows than its footer says, or cannot be read.
        Exception: Whatever else a reader raises for a file that it cannot read.
    """
    base: int | None = None
    after = 0
    for first, batch in joined(_BATCHES[fragment.format](store, fragment, columns)):
        base = first if base is None else base
        size = batch.rows if isinstance(batch, Damaged) else len(batch)
        after = first + size
        if isinstance(batch, Damaged):
            yield from _damaged(fragment, base, batch)
        else:
            rows, step = (_of_records, BATCH_ROWS) if isinstance(batch, list) else (_of_batch, _step(batch))
            for start, some in _within(fragment, base, first, size):
                for at in range(start, start + some, step):
                    end = min(at + step, start + some)
                    yield rows(first + at, batch[at:end], columns)
        if fragment.skip is not None and after >= base + fragment.skip + (fragment.rows or 0):
            return
    _check_rows(fragment, after - (base or 0))


def _damaged(fragment: Fragment, base: int, lost: Damaged) -> Iterator[Damaged]:
    """What of the rows that are lost is the fragment's."""
    if fragment.rows is None:
        yield lost
        return
    for start, size in _within(fragment, base, lost.first, lost.rows):
        yield replace(lost, first=lost.first + start, rows=size)


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


def _of_batch(first: int, batch: pa.RecordBatch, columns: DocumentSpec) -> Rows:
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


def _of_records(first: int, records: Sequence[Any], columns: DocumentSpec) -> Rows:
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


def _tops(columns: DocumentSpec, names: Any) -> tuple[set[str | None], set[str | None]]:
    """The columns that hold the text, and those that hold the time."""
    texts = {top_of(name, names) for name in (columns.text, *text_names(columns))}
    times = [top for name in time_names(columns) if (top := top_of(name, names)) is not None]
    return texts, set(times[:1])


def _avro(store: Store, fragment: Fragment, columns: DocumentSpec) -> Found:
    return avro.records(store, fragment, BATCH_ROWS)


_BATCHES: dict[str, Callable[[Store, Fragment, DocumentSpec], Found]] = {
    "avro": _avro,
    "parquet": parquet,
    "arrow": arrow,
    "orc": stripes,
}
