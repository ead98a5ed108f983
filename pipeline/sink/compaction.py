"""Many small files that never change, also as one: a compaction is read in the place of the files that it covers.

It saves reads and decides nothing. It counts only if its bytes have the digest that its name bears, and if each file that it
covers is still there with the size that it had. Else the one before it counts, or the files are read one by one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StoreError
from pipeline.sink.files import try_delete, write_whole
from pipeline.sink.layout import STAGING
from pipeline.store.base import Entry, Store
from pipeline.store.parquet import ROWS, batches, parquet_file

# Not ".parquet": whoever reads all plans by that ending, as versions before 0.2 do, shall not meet it.
SUFFIX = ".compact"
# So many files are read one by one before they are put together; so many compactions stay, as a reader may have listed the last
# but one.
EVERY, KEPT = 8, 2
_KEY, _FORMAT = b"textmill.compact", 1
_JSON = pa.schema([pa.field("path", pa.string(), nullable=False), pa.field("body", pa.string(), nullable=False)])


@dataclass(frozen=True, slots=True)
class Compaction:
    """A compaction as it was read: what it covers and the Parquet file that it is.

    Attributes:
        covers: Size in bytes of each file that it stands for, by path.
        about: JSON value that its writer kept with it.
        data: Bytes of the Parquet file.
    """

    covers: dict[str, int]
    about: Any
    data: bytes

    def rows(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Read the rows of the compaction.

        Args:
            columns: Names of the columns to read.

        Returns:
            Record batches, a bounded number of rows each.
        """
        return rows_of(self.data, columns)


def rows_of(data: bytes, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read a Parquet file that is in memory, a bounded number of rows at a time.

    Args:
        data: Bytes of the file.
        columns: Names of the columns to read.

    Yields:
        Record batches of at most `pipeline.store.parquet.ROWS` rows.

    Raises:
        KeyError: The file lacks one of the columns.
    """
    with parquet_file(pa.BufferReader(data)) as file:
        yield from batches(file, columns)


def newest(store: Store, listed: Iterable[Entry], sizes: Mapping[str, int]) -> Compaction | None:
    """Find the newest compaction that is valid: it has the digest in its name, and all that it covers is still there unchanged.

    Args:
        store: Holds the compactions.
        listed: Entries of their folder; other files among them are passed over. Only the KEPT newest compactions are looked at.
        sizes: Size in bytes of each file that may be covered, by path, as they are now.

    Returns:
        The compaction, or None if there is no valid one; also one that cannot be read is only passed over.
    """
    for path in _in_order(listed)[:KEPT]:
        found = _read(store, path)
        if found is not None and found.covers.items() <= sizes.items():
            return found
    return None


def _read(store: Store, path: str) -> Compaction | None:
    try:
        with store.open_read(path) as stream:
            data = stream.read()
        if not path.endswith(f"-{_digest(data)}{SUFFIX}"):
            return None
        head = json.loads(pq.read_schema(pa.BufferReader(data)).metadata[_KEY])
        return Compaction(head["covers"], head["about"], data) if head["format"] == _FORMAT else None
    except (StoreError, pa.ArrowException, OSError, ValueError, KeyError, TypeError):
        return None  # it can always be done without


def write_compaction(
    store: Store,
    folder: str,
    listed: Iterable[Entry],
    covers: Mapping[str, int],
    about: object,
    schema: pa.Schema,
    rows: Iterable[pa.RecordBatch],
    staging: str = STAGING,
) -> None:
    """Write a compaction that is newer than all that are listed, and remove all but the KEPT newest.

    If the store refuses, nothing is raised: a later run writes it.

    Args:
        store: Holds the compactions.
        folder: Where they are, below the store's root.
        listed: Entries of that folder.
        covers: Size in bytes of each file that this one stands for, by path.
        about: JSON value to keep with it.
        schema: Columns of `rows`.
        rows: Contents of the covered files.
        staging: Folder of the staged file, see `write_whole`.
    """
    head = json.dumps({"format": _FORMAT, "covers": dict(covers), "about": about})
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema.with_metadata({_KEY: head}), compression="zstd") as writer:
        for table in _grouped(rows, schema):
            writer.write_table(table)
    data = sink.getvalue().to_pybytes()
    before = _in_order(listed)
    with suppress(StoreError):
        path = f"{folder}/all-{_serial(before[0]) + 1 if before else 1:06d}-{_digest(data)}{SUFFIX}"
        write_whole(store, path, data, "compact", staging)
        for old in before[KEPT - 1 :]:
            try_delete(store, old)


def _grouped(rows: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Row groups of a useful size, of batches that may be as small as one file."""
    group: list[pa.RecordBatch] = []
    size = 0
    for batch in rows:
        group.append(batch)
        size += len(batch)
        if size >= ROWS:
            yield pa.Table.from_batches(group, schema)
            group, size = [], 0
    if group:
        yield pa.Table.from_batches(group, schema)


def _in_order(listed: Iterable[Entry]) -> list[str]:
    """Paths of compactions, the newest first."""
    paths = [entry.path for entry in listed if entry.path.endswith(SUFFIX)]
    return sorted((path for path in paths if _serial(path)), key=_serial, reverse=True)


def _serial(path: str) -> int:
    """The number of a compaction, from 1; 0 for what is none."""
    name = path.rsplit("/", 1)[-1].split("-")
    return int(name[1]) if len(name) == 3 and name[0] == "all" and name[1].isdigit() else 0


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def gathered(
    store: Store,
    folder: str,
    listed: Iterable[Entry],
    sizes: Mapping[str, int],
    wanted: Iterable[str],
    read: Callable[[str], dict[str, Any]],
    staging: str = STAGING,
) -> dict[str, dict[str, Any]]:
    """Read many small JSON files with few reads: most come from a compaction of them.

    If EVERY or more of those that are wanted had to be read one by one, a new compaction of all that are wanted is written.

    Args:
        store: Holds the compactions.
        folder: Where the compactions are, below the store's root.
        listed: Entries of that folder.
        sizes: Size in bytes, by path, of all files that may be covered; each of `wanted` is among them.
        wanted: Paths of the files to read.
        read: Reads the JSON object of one file by its path; what it raises is passed on.
        staging: Folder of the staged compaction, see `write_whole`.

    Returns:
        The JSON object of each wanted file by its path, in the order of `wanted`.
    """
    wanted, listed = list(wanted), list(listed)
    found: dict[str, str] = {}
    if (before := newest(store, listed, sizes)) is not None:
        for batch in before.rows(_JSON.names):
            found.update(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    bodies = {path: json.loads(found[path]) if path in found else read(path) for path in wanted}
    if sum(path not in found for path in wanted) >= EVERY:
        columns = [pa.array(list(bodies), pa.string()), pa.array([json.dumps(body) for body in bodies.values()], pa.string())]
        rows = [pa.RecordBatch.from_arrays(columns, schema=_JSON)]
        write_compaction(store, folder, listed, {path: sizes[path] for path in wanted}, {}, _JSON, rows, staging)
    return bodies
