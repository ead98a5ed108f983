"""Count the documents of a file in one pass over it, without making documents of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.contract import DocumentSpec, Fragment
from pipeline.errors import StoreError, UnavailableError
from pipeline.source.contents import IsTableError, contents
from pipeline.source.decompress import BombError
from pipeline.source.formats import FORMATS, PACKED
from pipeline.source.items import FileRefusedError, Lost
from pipeline.source.read import UNREADABLE
from pipeline.source.splitting import footer_rows, format_name
from pipeline.store.base import Entry, Store
from pipeline.store.parquet import arrow_batches


@dataclass(slots=True)
class Counted:
    """How many documents a file holds, as far as it could be read.

    Attributes:
        documents: Documents, and what should have been some.
        broken: Whether the file could not be read to its end. What is left of it counts as one document then.
    """

    documents: int = 0
    broken: bool = False


def count_documents(store: Store, entry: Entry, columns: DocumentSpec) -> Counted:
    """Count the documents of a file, and what should have been some.

    Args:
        store: Holds the file.
        entry: The file.
        columns: How the input is read.

    Returns:
        The count; a file that is broken or refused raises nothing.

    Raises:
        UnavailableError: The file cannot be read for now.
        ModuleNotFoundError: It is an Avro file, and fastavro is not installed.
    """
    found = Counted()
    try:
        for one in _each(store, entry, columns):
            found.documents += one
    except UnavailableError:
        raise
    except (*UNREADABLE, BombError, StoreError, ValueError):
        found.documents += 1
        found.broken = True
    return found


def _each(store: Store, entry: Entry, columns: DocumentSpec) -> Iterator[int]:
    kind = format_name(entry.path, columns)
    if FORMATS[kind].table:
        if entry.path.lower().endswith(PACKED):
            raise FileRefusedError("packed as a whole")
        yield _table_rows(store, entry, kind)
        return
    whole = Fragment(entry.path, kind, 0, entry.size, entry.size, entry.modified_ns, 0)
    try:
        with store.open_read(entry.path, (0, entry.size)) as stream:
            for _, found in contents(stream, whole, columns, Counter()):
                yield from (1,) if isinstance(found, Lost) else found.counts()
    except IsTableError as error:
        yield _table_rows(store, entry, str(error))


def _table_rows(store: Store, entry: Entry, kind: str) -> int:
    rows = footer_rows(store, entry, kind)[1]
    if rows is not None:
        return rows
    with store.open_read(entry.path, (0, entry.size)) as stream:
        return sum(batch.num_rows for batch in arrow_batches(stream))
