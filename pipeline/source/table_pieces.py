"""Read tables of Arrow's formats piece by piece: row groups of Parquet, stripes of ORC, batches of Arrow.

What cannot be read costs its piece.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from pipeline.contract import DocumentSpec, Fragment
from pipeline.source.arrow_footer import count_rows
from pipeline.source.damaged import Damaged, Found, each, said
from pipeline.source.fields import top_of, wanted
from pipeline.store.base import Store
from pipeline.store.parquet import arrow_batches, arrow_file, batches, parquet_file, without_stored_types

BATCH_ROWS = 1024


def parquet(store: Store, fragment: Fragment, columns: DocumentSpec) -> Found:
    """Read row groups of a Parquet file, in one run as long as nothing fails.

    Where it fails, the row group at fault is read alone and, if that fails too, without the Arrow types that the file stores.

    Args:
        store: Holds the file.
        fragment: Row groups of the file, or all of it.
        columns: Which columns are wanted.

    Yields:
        Number of the first row and a batch, or the rows of a row group that are damaged.

    Raises:
        Exception: Whatever opening the file raises, or reading that is not the file's fault; see `pipeline.source.damaged.said`.
    """
    file = parquet_file(store.open_read(fragment.path))
    whole = fragment.start == 0 and fragment.end == fragment.size
    at, stop = (0, file.num_row_groups) if whole else (fragment.start, fragment.end)
    firsts = list(accumulate((file.metadata.row_group(i).num_rows for i in range(stop)), initial=0))
    number = firsts[at]
    while at < stop:
        why = ""
        for alone, other in ((False, False), (True, False), (True, True)):
            end = at + 1 if alone else stop
            try:
                opened = without_stored_types(store.open_read(fragment.path)) if other else file
                for first, batch in _rows(opened, range(at, end), firsts[at], columns):
                    seen = max(0, number - first)
                    if seen < batch.num_rows:
                        yield first + seen, batch.slice(seen)
                        number = first + batch.num_rows
            except Exception as error:  # noqa: BLE001 - whatever a file makes a reader raise, it is the file's
                at = min(end - 1, max(at, bisect_right(firsts, number) - 1))
                text = said(error, f"row group {at}")
                why = why if other else text
            else:
                at, file = end, opened
                break
        else:
            if firsts[at + 1] > number:
                yield number, Damaged(number, firsts[at + 1] - number, why)
                number = firsts[at + 1]
            at += 1


def _rows(file: Any, groups: range, first: int, columns: DocumentSpec) -> Iterator[tuple[int, pa.RecordBatch]]:
    for batch in batches(file, wanted(file.schema_arrow.names, columns), BATCH_ROWS, groups):
        yield first, batch
        first += batch.num_rows


def arrow(store: Store, fragment: Fragment, columns: DocumentSpec) -> Found:
    """Read the record batches of an Arrow file or stream; a stream that breaks off has no place to read on from.

    Args:
        store: Holds the file.
        fragment: The whole file.
        columns: Which columns are wanted.

    Yields:
        Number of the first row and a batch, or the rows of one that is damaged.

    Raises:
        Exception: Whatever opening the file, or going on to a stream's next batch, raises; of a file also what is not its fault.
    """

    def chosen(schema: pa.Schema) -> list[int]:
        tops = {top_of(name, schema.names) for name in wanted(schema.names, columns)}
        return [i for i, name in enumerate(schema.names) if name in tops]

    def checked(batch: pa.RecordBatch) -> pa.RecordBatch:
        for column in batch.columns:
            check_offsets(column)
        return batch

    with store.open_read(fragment.path, (0, fragment.size)) as stream:
        file = arrow_file(stream, chosen)
        if file is not None:
            total = fragment.rows if fragment.skip is None else None
            yield from each(
                "batch", file.num_record_batches, lambda i: checked(file.get_batch(i)), lambda i: file.get_batch(i).num_rows,
                lambda: _arrow_rows(store, fragment) if total is None else total,
            )  # fmt: skip
            return
        number = 0
        for i, batch in enumerate(arrow_batches(stream, chosen)):
            try:
                yield number, checked(batch)
            except pa.ArrowInvalid as error:
                yield number, Damaged(number, batch.num_rows, said(error, f"batch {i}"))
            number += batch.num_rows


def _arrow_rows(store: Store, fragment: Fragment) -> int:
    with store.open_read(fragment.path) as stream:
        return count_rows(stream)


def stripes(store: Store, fragment: Fragment, columns: DocumentSpec) -> Found:
    """Read the stripes of an ORC file; a damaged one tells its size by any column that can still be read.

    Args:
        store: Holds the file.
        fragment: The whole file.
        columns: Which columns are wanted.

    Yields:
        Number of the first row and a batch, or the rows of a stripe that is damaged.

    Raises:
        Exception: Whatever opening the file raises, or reading that is not the file's fault.
    """
    from pyarrow import orc

    with store.open_read(fragment.path) as stream:
        file = orc.ORCFile(stream)
        names = wanted(file.schema.names, columns)

        def rows(stripe: int) -> int:
            error: Exception | None = None
            for name in [*names, *file.schema.names]:
                try:
                    return int(file.read_stripe(stripe, [name]).num_rows)
                except Exception as one:  # noqa: BLE001
                    said(one, "")
                    error = one
            raise error or ValueError("no columns")

        yield from each("stripe", file.nstripes, lambda i: file.read_stripe(i, names), rows, lambda: int(file.nrows))


def check_offsets(array: pa.Array) -> None:
    """Check that an array asks for no memory that it does not hold.

    Invalid values, such as strings that are no UTF-8, are no objection: they cost themselves alone.

    Args:
        array: Of any type, with its children.

    Raises:
        ArrowInvalid: It does, or its offsets do not rise.
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
