"""Count the rows of an Arrow file (IPC) by its footer and the metadata of its record batches, a small part of the file.

Arrow's own reader does this in a thread that may still hold what a Python file returned when the interpreter exits, and then
aborts the process; see pipeline.store.parquet. The layout is that of the format's specification
(https://arrow.apache.org/docs/format/Columnar.html, File.fbs and Message.fbs): flatbuffers, of which few fields are needed.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

_MAGIC = b"ARROW1"
# In the order of the schema files.
_FOOTER_BATCHES, _MESSAGE_HEADER, _BATCH_LENGTH = 3, 2, 0
_BLOCK_BYTES = 24  # offset i64, length of the head i32, padding, length of the body i64
_CONTINUED = 0xFFFFFFFF


def count_rows(stream: BinaryIO) -> int:
    """Count the rows of an Arrow file by the metadata of its record batches; no data are read.

    Args:
        stream: The file, seekable.

    Returns:
        Rows of all record batches.

    Raises:
        OSError: The file is cut off, has no footer, or its footer or a batch's metadata cannot be read.
    """
    try:
        return _count(stream)
    except (struct.error, IndexError) as error:
        raise OSError(f"an Arrow file whose footer cannot be read ({error})") from error


def _count(stream: BinaryIO) -> int:
    size = stream.seek(0, 2)
    stream.seek(max(0, size - 10))
    length, magic = struct.unpack("<i6s", stream.read(10))
    if magic != _MAGIC or not 0 < length <= size - 18:
        raise OSError("an Arrow file without a footer: it was not written to its end")
    stream.seek(size - 10 - length)
    footer = stream.read(length)
    at = _field(footer, _u32(footer, 0), _FOOTER_BATCHES)
    if at is None:
        return 0
    vector = at + _u32(footer, at)
    rows = 0
    for i in range(_u32(footer, vector)):
        offset, head = struct.unpack_from("<qi", footer, vector + 4 + i * _BLOCK_BYTES)
        if offset < 0 or not 8 < head <= length + size:
            raise OSError("an Arrow file whose footer points outside of it")
        stream.seek(offset)
        rows += _rows_of(stream.read(head))
    return rows


def _rows_of(message: bytes) -> int:
    """Rows of a batch, by the head of its message."""
    begin = 8 if _u32(message, 0) == _CONTINUED else 4
    data = message[begin:]
    header = _field(data, _u32(data, 0), _MESSAGE_HEADER)
    if header is None:
        raise OSError("an Arrow file with a batch that has no head")
    length = _field(data, header + _u32(data, header), _BATCH_LENGTH)
    return 0 if length is None else int(struct.unpack_from("<q", data, length)[0])


def _field(data: bytes, table: int, number: int) -> int | None:
    """Where a field of a table is; None if it has its default."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", data, vtable)[0]:
        return None
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0]
    return table + offset if offset else None


def _u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])
