"""Parquet and Arrow files, read by the calling thread alone.

`pyarrow.parquet.read_table`, and any read ahead, leave the last reference to what was read to a thread of Arrow's own. What a
Python file gave is a Python object: if the interpreter ends before that thread lets go of it, the thread is unwound through a
C++ destructor, and the process aborts (134, "terminate called without an active exception") after all its work was done.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 65_536


def parquet_file(stream: Any) -> pq.ParquetFile:
    """A Parquet file, of which nothing is read ahead. Read it with `batches`; its `read` needs `use_threads=False`."""
    return pq.ParquetFile(stream, pre_buffer=False)


def without_stored_types(stream: Any) -> pq.ParquetFile:
    """A Parquet file read by its own types alone, not as those of the Arrow table that it was written from: none is converted.

    Converting to those, to dictionaries for one, a single string that is no UTF-8 makes whole row groups unreadable.
    """
    stream.seek(-8, 2)
    size = int.from_bytes(stream.read(4), "little")
    stream.seek(-8 - size, 2)
    footer = stream.read(size + 8).replace(b"ARROW:schema", b"ARROW_SCHEMA")
    return pq.ParquetFile(stream, metadata=pq.read_metadata(io.BytesIO(b"PAR1" + footer)), pre_buffer=False)


def batches(
    file: pq.ParquetFile, columns: Sequence[str] | None = None, rows: int = ROWS, row_groups: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of a file, or of some of its row groups, at most so many at a time. Raises KeyError for a column it lacks."""
    names, groups = _names(file, columns), None if row_groups is None else list(row_groups)
    yield from file.iter_batches(rows, groups, names, use_threads=False)


def read_table(stream: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of a Parquet file, or those columns of it. Raises KeyError for a column it lacks. The stream stays open."""
    file = parquet_file(stream)
    return file.read(_names(file, columns), use_threads=False)


def arrow_schema(stream: Any) -> pa.Schema:
    """The schema of an Arrow file or stream (IPC). The stream must be seekable. Raises OSError for Feather's version 1."""
    head = _arrow_head(stream)
    stream.seek(8 if head == b"ARROW1" else 0)  # what stands in a file between its magic and its footer is a stream
    return pa.ipc.open_stream(stream, options=pa.ipc.IpcReadOptions(use_threads=False)).schema


def _arrow_head(stream: Any) -> bytes:
    head: bytes = stream.read(6)
    stream.seek(0)
    if head.startswith(b"FEA1"):
        raise OSError("Feather of version 1: write it anew with pyarrow.feather.write_feather(read_table(path), path)")
    return head


def arrow_batches(stream: Any, choose: Callable[[pa.Schema], list[int]] | None = None) -> Iterator[pa.RecordBatch]:
    """The batches of an Arrow file or stream (IPC), told apart by its first bytes. The stream must be seekable. `choose`: the
    places of the columns that are wanted. Raises OSError for Feather's version 1, which is no Arrow file.

    The footer of an Arrow file is read by a thread of Arrow's in any case: read one only in a process that ends by os._exit.
    """
    file = arrow_file(stream, choose)
    if file is None:
        yield from _opened(stream, pa.ipc.open_stream, choose)
        return
    for number in range(file.num_record_batches):
        yield file.get_batch(number)


def arrow_file(stream: Any, choose: Callable[[pa.Schema], list[int]] | None = None) -> Any:
    """An Arrow file, whose batches can be read in any order; None for a stream. See `arrow_batches`."""
    head = _arrow_head(stream)
    return _opened(stream, pa.ipc.open_file, choose) if head == b"ARROW1" else None


def _opened(stream: Any, opened: Callable[..., Any], choose: Callable[[pa.Schema], list[int]] | None) -> Any:
    fields = None
    if choose is not None:
        fields = choose(opened(stream, options=pa.ipc.IpcReadOptions(use_threads=False)).schema)
        stream.seek(0)
    return opened(stream, options=pa.ipc.IpcReadOptions(use_threads=False, included_fields=fields))


def _names(file: pq.ParquetFile, columns: Sequence[str] | None) -> list[str] | None:
    """Arrow itself would leave out in silence what is not there. "a.b" may be b within a column of structs."""
    for name in columns or ():
        if name not in file.schema_arrow.names and name.partition(".")[0] not in file.schema_arrow.names:
            raise KeyError(name)
    return None if columns is None else list(columns)
