"""Read the blocks of an Avro file: groups of records between sync markers, of which a damaged one costs itself alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.errors import StoreError
from pipeline.source.damaged import said

_SYNC_BYTES = 16


def count_rows(stream: Any) -> int:
    """Count the records of an Avro file by the headers of its blocks; no record is decoded.

    Args:
        stream: The file, seekable, at its beginning.

    Returns:
        Records of all blocks.

    Raises:
        ValueError: The file is damaged.
        StoreError: The store cannot read it.
        ModuleNotFoundError: The extra `avro` is not installed.
    """
    import fastavro

    try:
        fastavro.block_reader(stream)
        place, total = stream.tell(), 0
        sync = _header(stream)[-_SYNC_BYTES:]
        while stream.read(1):
            if (head := _head(stream, place, sync)) is None:
                raise ValueError(f"no block begins at byte {place:,}, or it does not end where it says")
            total, place = total + head[0], head[1]
            stream.seek(place)
        return total
    except StoreError:
        raise
    except Exception as error:  # whatever a damaged file makes of it
        raise ValueError(f"{type(error).__name__}: {error}") from error


def blocks(stream: Any, searching: bool) -> Iterator[tuple[int, Any]]:
    """Read the blocks of an Avro file, going on behind a damaged one.

    Args:
        stream: The file, seekable, at its beginning.
        searching: Also go on behind a block whose header is damaged, at the next sync marker; otherwise such a block ends the
            reading.

    Yields:
        The number of records and the block or, of a damaged one, what is wrong with it in words. A block whose header is damaged
        counts as 0 records.

    Raises:
        Exception: Whatever fastavro or the stream raises where reading cannot go on.
    """
    import fastavro

    reader = fastavro.block_reader(stream, handle_unicode_errors="replace")
    place, header = stream.tell(), _header(stream)
    sync = header[-_SYNC_BYTES:]
    while True:
        try:
            block = next(reader, None)
            if block is not None and block.num_records < 0:  # fastavro would take it for an empty one
                raise ValueError(f"a block of {block.num_records} records")
        except Exception as error:
            why, head = said(error, "a block"), _head(stream, place, sync)
            if head is None and searching and (after := _behind_sync(stream, place, sync)):
                head = 0, after
            if head is None:
                raise
            yield head[0], why
            stream.seek(head[1])
            reader = fastavro.block_reader(_Headed(header, stream), handle_unicode_errors="replace")
        else:
            if block is None:
                return
            yield block.num_records, block
        place = stream.tell()


class _Headed:
    """A stream from its place on, with a header before it. A reader of Avro takes no more of it than the header at once."""

    def __init__(self, header: bytes, stream: Any) -> None:
        self._header, self._stream = header, stream

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        if not self._header:
            return bytes(self._stream.read(size))
        found, self._header = self._header[:size], self._header[size:]
        return found

    def tell(self) -> int:
        """The place in the stream."""
        return int(self._stream.tell())


def _header(stream: Any) -> bytes:
    """What stands before the place, which is the header of the file if that alone was read."""
    size = stream.tell()
    stream.seek(0)
    return bytes(stream.read(size))


def _head(stream: Any, place: int, sync: bytes) -> tuple[int, int] | None:
    """How many records the block at a place has, and where it ends; None if no block ends there."""
    stream.seek(place)
    count, size = _number(stream), _number(stream)
    if count is None or size is None or count < 0 or size < 0:
        return None
    stream.seek(stream.tell() + size)
    return (count, int(stream.tell())) if stream.read(_SYNC_BYTES) == sync else None


def _number(stream: Any) -> int | None:
    """A number as Avro writes it; None if none is there."""
    found = 0
    for shift in range(0, 64, 7):
        byte = stream.read(1)
        if not byte:
            return None
        found |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return int((found >> 1) ^ -(found & 1))
    return None


def _behind_sync(stream: Any, place: int, sync: bytes) -> int | None:
    """The place behind the next mark that ends a block."""
    stream.seek(place)
    held = b""
    while chunk := stream.read(1 << 16):
        held = held[-_SYNC_BYTES:] + chunk
        place += len(chunk)
        if (found := held.find(sync)) >= 0:
            return int(place - len(held) + found + _SYNC_BYTES)
    return None
