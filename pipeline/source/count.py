"""How many documents a file holds, counted in one go over the whole of it: another way than the one on which they are tagged."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.contract import Columns
from pipeline.errors import StoreError, UnavailableError
from pipeline.source import unpack
from pipeline.source.discover import TABLES, format_of
from pipeline.source.fields import names_text
from pipeline.source.pack import footer_rows
from pipeline.source.read import BLANK
from pipeline.source.unpack import UNREADABLE, BombError, lines, text_encoding, unpacked
from pipeline.store.base import Entry, Store
from pipeline.store.parquet import arrow_batches


@dataclass(slots=True)
class Counted:
    """Documents, and whether the file could not be read to its end: what is left of it counts as one then."""

    documents: int = 0
    broken: bool = False


def count_documents(store: Store, entry: Entry, columns: Columns) -> Counted:
    """Count a file's documents, and what should have been some. Raises UnavailableError if it cannot be read for now."""
    found = Counted()
    try:
        for one in _each(store, entry, columns):
            found.documents += one
    except UnavailableError:
        raise
    except (*UNREADABLE, BombError, StoreError, csv.Error, ValueError):
        found.documents += 1
        found.broken = True
    return found


def _each(store: Store, entry: Entry, columns: Columns) -> Iterator[int]:
    kind = format_of(entry.path) or "jsonl"
    if kind in TABLES:
        rows = footer_rows(store, entry, kind)[1]
        yield _stream_rows(store, entry) if rows is None else rows
        return
    with store.open_read(entry.path, (0, entry.size)) as stream:
        plain, _ = unpacked(stream, entry.size)
        if kind == "text" and columns.documents == "file":
            while plain.read(1 << 20):
                pass
            yield 1
            return
        # The mark of an encoding is a part of the first line here, which changes no count.
        head = _head(store, entry)
        encoding, mark = text_encoding(head)
        found = lines(plain, encoding, 0, None)
        if kind in ("csv", "tsv"):
            yield from _rows(found, encoding, mark, kind, columns)
            return
        first = mark
        for _, raw, _ in found:
            yield int(raw is None or bool(raw[first:].strip(BLANK)))
            first = 0


def _head(store: Store, entry: Entry) -> bytes:
    with store.open_read(entry.path) as stream:
        plain, _ = unpacked(stream, entry.size)
        return plain.read(4)


def _rows(
    found: Iterator[tuple[int, bytes | None, bytes]], encoding: str, mark: int, kind: str, columns: Columns
) -> Iterator[int]:
    def decoded() -> Iterator[str]:
        first = mark
        for _, raw, _ in found:
            if raw is None:
                raise csv.Error("a line that is too long")
            yield raw[first:].decode(encoding, "replace")
            first = 0

    csv.field_size_limit(unpack.MAX_LINE_BYTES)
    dialect: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if kind == "tsv" else {}
    rows = csv.reader(decoded(), **dialect)
    yield int(not names_text(next(rows, []), columns))  # a header without the column of the text is told as a dead letter
    for row in rows:
        yield int(bool(row))


def _stream_rows(store: Store, entry: Entry) -> int:
    with store.open_read(entry.path, (0, entry.size)) as stream:
        return sum(batch.num_rows for batch in arrow_batches(stream))
