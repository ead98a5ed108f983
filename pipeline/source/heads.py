"""Tell which columns an input has and how it is read, by the first records of some files of each kind."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract import DocumentSpec, Fragment
from pipeline.errors import PipelineError, UnavailableError
from pipeline.source.blocks import BlockBuilder
from pipeline.source.discover import partitions_of
from pipeline.source.fields import first_of, names_text, roles, top_of
from pipeline.source.formats import format_of
from pipeline.source.read import read_fragment
from pipeline.source.read_counts import ReadCounts
from pipeline.source.splitting import file_kind, format_name
from pipeline.store.base import Entry, Store
from pipeline.store.parquet import arrow_schema

# Of each kind of file so many are looked into, of each so many records, or as many as have so many bytes.
FILES, RECORDS, BYTES = 16, 500, 1 << 20
# So many columns are named; longer names are none.
SHOWN, LONGEST = 20, 40


@dataclass(slots=True)
class HeadColumns:
    """What the heads of some files tell of the input.

    Attributes:
        paths: The files that were looked into.
        files: How many of them hold records with columns.
        columns: In how many of these each column is, in the order in which the columns were met.
        lacking: For each column that was asked for, the files that have records but no such column.
        used: By format, how often which column was what: (role, column name).
        noticed: Counts of files that are read in another way than usual.
    """

    paths: frozenset[str] = frozenset()
    files: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    lacking: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    used: dict[str, Counter[tuple[str, str]]] = field(default_factory=lambda: defaultdict(Counter))
    noticed: Counter[str] = field(default_factory=Counter)

    @property
    def delimited(self) -> bool:
        """Whether there are files whose columns have names only if they have a header."""
        return any(format_of(path) in ("csv", "tsv") for path in self.paths)

    def nearest(self, column: str) -> str | None:
        """Suggest an existing column for one that is not there.

        Args:
            column: The name that is not there.

        Returns:
            The column whose name is most like it; None if no name is near.
        """
        plain = {name.strip().casefold(): name for name in reversed(self.columns)}
        found = get_close_matches(column.strip().casefold(), list(plain), 1, 0.6)
        # Two letters are in many words.
        return plain[found[0]] if found and (len(found[0]) > 2 or found[0] in column.casefold().split("_")) else None

    def named(self) -> str:
        """List the columns, at most SHOWN of them, for a message.

        Where a file has no header, a name may be a text; one longer than LONGEST characters is shown as `...`.

        Returns:
            The names with commas between them.
        """
        names = [repr(name)[1:-1] if len(name) <= LONGEST else "..." for name in self.columns]
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        return ", ".join(names[:SHOWN]) + more


def read_heads(store: Store, entries: Sequence[Entry], columns: DocumentSpec, asked: Iterable[str]) -> HeadColumns:
    """Look into a sample of the files for their columns.

    A file that cannot be read is passed over: it is reported when it is to be tagged.

    Args:
        store: Holds the files.
        entries: The files of the input.
        columns: How the input is read.
        asked: Columns that are looked for.

    Returns:
        What was seen.

    Raises:
        UnavailableError: The store does not answer.
    """
    chosen, asked = _sample(entries), list(asked)
    found = HeadColumns(frozenset(entry.path for entry in chosen))
    with ThreadPoolExecutor(store.read_concurrency, "textmill-peek") as pool:
        for entry, seen in zip(chosen, pool.map(lambda entry: _look(store, entry, columns), chosen), strict=True):
            found.noticed += seen.noticed
            if seen.used:
                found.used[seen.kind] += seen.used
            if not seen.names:
                continue
            there = {**seen.names, **partitions_of(entry.path)}
            found.files += 1
            found.columns.update(there.keys())
            for column in asked:
                if not _has(there, column):
                    found.lacking[column].append(entry.path)
    return found


def _sample(entries: Sequence[Entry]) -> list[Entry]:
    """Files of each kind, spread over all of them."""
    kinds: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        kinds[file_kind(entry.path)].append(entry)
    chosen = []
    for files in kinds.values():
        count = min(FILES, len(files))
        chosen += [files[i * (len(files) - 1) // max(1, count - 1)] for i in range(count)]
    return chosen


def _has(names: Mapping[str, object], column: str) -> bool:
    """Whether a record can have a column: by its name, by one of several that are joined, by the object that it lies in."""
    if column in names:
        return True
    if "," in column:
        return any(_has(names, part.strip()) for part in column.split(","))
    return "." in column and _has(names, column.rpartition(".")[0])


@dataclass(slots=True)
class _Seen:
    """What the beginning of a file tells: its columns, which are used as what, and how it is read."""

    kind: str
    names: dict[str, None] = field(default_factory=dict)
    used: Counter[tuple[str, str]] = field(default_factory=Counter)
    noticed: Counter[str] = field(default_factory=Counter)


def _look(store: Store, entry: Entry, columns: DocumentSpec) -> _Seen:
    """A file's first records; nothing if it has none."""
    found = _Seen(format_name(entry.path, columns))
    if found.kind == "text" and columns.documents == "file":
        return found
    met = ReadCounts()
    try:
        if found.kind in ("parquet", "arrow"):
            _of_schema(found, _schema(store, entry, found.kind), columns)
            return found
        piece = Fragment(entry.path, found.kind, 0, entry.size, entry.size, entry.modified_ns, 1)
        with closing(read_fragment(store, piece, columns, met, partial(_Head, found))) as blocks:  # type: ignore[type-var]
            for block in islice(blocks, 1):
                found.noticed += block.counts
    except UnavailableError:
        raise
    except (PipelineError, OSError, ValueError, csv.Error, pa.ArrowException, ModuleNotFoundError):
        return _Seen(found.kind)
    found.noticed += met.noticed
    if found.kind == "text":
        found.names, found.used = {}, Counter()
    return found


def _of_schema(found: _Seen, names: list[str], columns: DocumentSpec) -> None:
    found.names |= dict.fromkeys(names)
    if not names_text(names, columns):
        return
    found.used["text", columns.text] = 1
    for role, wanted in roles(columns).items():
        if (name := next((name for name in wanted if top_of(name, names) is not None), None)) is not None:
            found.used[role, name] = 1


def _schema(store: Store, entry: Entry, kind: str) -> list[str]:
    with store.open_read(entry.path) as stream:
        if kind == "parquet":
            return list(pq.read_schema(stream).names)
        return list(arrow_schema(stream).names)


class _Head(BlockBuilder):
    """Takes what is to be known of records, and no documents; full when it has seen enough."""

    def __init__(self, found: _Seen, path: str, columns: DocumentSpec) -> None:
        super().__init__(path, columns)
        self._found = found
        self._roles = roles(columns)
        self._records = self._bytes = 0

    def add(self, position: int, record: Mapping[str, Any], raw: bytes = b"", replaced: int = 0) -> None:
        self._found.names |= dict.fromkeys(record)
        if names_text(record, self.columns):
            self._found.used["text", self.columns.text] += 1
            for role, wanted in self._roles.items():
                if name := first_of(record, wanted)[0]:
                    self._found.used[role, name] += 1
        self.kill(position, "", "", raw)

    def kill(self, position: int, reason: str, message: str, raw: bytes = b"") -> None:
        self._records += 1
        self._bytes += len(raw)

    def full(self) -> bool:
        return self._records >= RECORDS or self._bytes >= BYTES

    @property
    def empty(self) -> bool:
        return not self._records
