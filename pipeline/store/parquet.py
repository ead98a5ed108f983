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
    """Open a Parquet file, of which nothing is read ahead.

    Args:
        stream: Seekable binary stream, which the file goes on reading from.

    Returns:
        The file. Read it with `batches`; its own `read` needs `use_threads=False`.
    """
    return pq.ParquetFile(stream, pre_buffer=False)


def without_stored_types(stream: Any) -> pq.ParquetFile:
    """Open a Parquet file by its Parquet types alone, without the Arrow schema that its writer has stored in it.

    Nothing is converted to the stored Arrow types. Where these are dictionaries, for one, a single string that is not valid
    UTF-8 makes a whole row group unreadable.

    Args:
        stream: Seekable binary stream, which the file goes on reading from.

    Returns:
        The file, of which nothing is read ahead.
    """
    stream.seek(-8, 2)
    size = int.from_bytes(stream.read(4), "little")
    stream.seek(-8 - size, 2)
    footer = stream.read(size + 8).replace(b"ARROW:schema", b"ARROW_SCHEMA")
    return pq.ParquetFile(stream, metadata=pq.read_metadata(io.BytesIO(b"PAR1" + footer)), pre_buffer=False)


def batches(
    file: pq.ParquetFile, columns: Sequence[str] | None = None, rows: int = ROWS, row_groups: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read the rows of a Parquet file, or of some of its row groups, in batches.

    Args:
        file: From `parquet_file` or `without_stored_types`.
        columns: Names of the columns; "a.b" is field b of a column of structs a. None for all.
        rows: Rows of a batch at most.
        row_groups: Numbers of the row groups; None for all.

    Yields:
        The batches, in the file's order.

    Raises:
        KeyError: The file lacks a column.
    """
    names, groups = _names(file, columns), None if row_groups is None else list(row_groups)
    yield from file.iter_batches(rows, groups, names, use_threads=False)


def read_table(stream: Any, columns: Sequence[str] | None = None) -> pa.Table:
    """Read all rows of a Parquet file.

    Args:
        stream: Seekable binary stream; it stays open.
        columns: As for `batches`.

    Returns:
        The rows.

    Raises:
        KeyError: The file lacks a column.
    """
    file = parquet_file(stream)
    return file.read(_names(file, columns), use_threads=False)


def arrow_schema(stream: Any) -> pa.Schema:
    """Read the schema of Arrow IPC data, in the file or the stream format.

    Args:
        stream: Seekable binary stream, read from its first byte.

    Returns:
        The schema.

    Raises:
        OSError: It is Feather of version 1, which is not Arrow IPC.
    """
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
    """Read the batches of Arrow IPC data, in the file or the stream format; the first bytes tell which.

    The footer of an Arrow file is always read by a thread of Arrow's own: read one only in a process that ends by `os._exit`.

    Args:
        stream: Seekable binary stream, read from its first byte.
        choose: Gives the indices of the wanted columns for a schema; None for all columns.

    Yields:
        The batches, in order.

    Raises:
        OSError: It is Feather of version 1, which is not Arrow IPC.
    """
    file = arrow_file(stream, choose)
    if file is None:
        yield from _opened(stream, pa.ipc.open_stream, choose)
        return
    for number in range(file.num_record_batches):
        yield file.get_batch(number)


def arrow_file(stream: Any, choose: Callable[[pa.Schema], list[int]] | None = None) -> Any:
    """Open an Arrow IPC file, whose batches can be read in any order; see `arrow_batches`.

    Args:
        stream: As for `arrow_batches`.
        choose: As for `arrow_batches`.

    Returns:
        The `pyarrow.ipc.RecordBatchFileReader`; None if the data is in the stream format.

    Raises:
        OSError: It is Feather of version 1, which is not Arrow IPC.
    """
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
