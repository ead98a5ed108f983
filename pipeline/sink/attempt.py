"""One attempt at a split: rows are staged, closed, verified, and published under the part's name by one rename.

The part is the record of the split. Its footer names the attempt and counts what was left out; those files are staged by the
same attempt before the part appears, and published after it, by whoever comes next if this process dies in between.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import astuple
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract import LEFT_OUT, PartResult, RejectedDocument, Split
from pipeline.errors import OutputError, StoreError, TakenError, UnavailableError
from pipeline.faults import point
from pipeline.sink.files import try_delete
from pipeline.sink.layout import OUTCOMES, STAGING, TAGS, part_path
from pipeline.sink.origins import ORIGIN, ORIGINS, encode, origins_of, paths_of
from pipeline.sink.reconciliation import accounted_for, check_footer, read_of, written
from pipeline.source.read_counts import ReadCounts
from pipeline.store.base import Store

# Rows that are sorted together and written at once, at most; a part of a usual split is one such chunk.
CHUNK_ROWS = 50_000
GROUP_ROWS = 8_192
SORTED_BY = [("created_at", "ascending"), ("source", "ascending"), ("id", "ascending")]
FOOTER = b"textmill"


class Attempt:
    """Takes the rows of one split; `commit` makes them a part, `abort` leaves nothing.

    Args:
        store: The output.
        split: The split whose rows these are.
        attempt: Name of this attempt; it begins with the name of the run, and no other attempt has it.
        folder: Where the part goes: "" or, if it is to take the place of others later, "_next/".
        schema: Columns of the part.
        about: What the part's footer says of the run, by key.
    """

    def __init__(self, store: Store, split: Split, attempt: str, folder: str, schema: pa.Schema, about: dict[str, Any]) -> None:
        self._store, self._split, self._attempt, self._folder = store, split, attempt, folder
        self._staging = f"{STAGING}/{attempt}"
        self._schema, self._about = schema, about
        self._places = {path: place for place, path in enumerate(paths_of(split))}
        self._origins: list[np.ndarray] = []
        self._waiting: list[pa.Table] = []
        self._rows = self._written = 0
        self._counts: Counter[str] = Counter()
        self._files: dict[str, PartFile] = {}
        self._stack = ExitStack()
        self._published = False
        point("part.write.before")
        self._part = self._open(TAGS, schema)

    def _open(self, kind: str, schema: pa.Schema) -> PartFile:
        path = f"{self._staging}/{self._split.name}.{kind}.parquet"
        self._files[kind] = PartFile(self._stack.enter_context(self._store.create_exclusive(path)), path, schema)
        return self._files[kind]

    def add(self, table: pa.Table, left_out: Sequence[RejectedDocument], counts: Counter[str], paths: Sequence[str] = ()) -> None:
        """Add tagged rows, the documents left out beside them, and counts of what was noticed.

        Args:
            table: Rows in the schema of the part.
            left_out: Dead letters and filtered documents, in any order.
            counts: Added to the counts in the part's footer.
            paths: Input file of each row of `table`, as many as it has rows; not needed where the split has only one file.
        """
        self._waiting.append(table.append_column(ORIGIN, origins_of(paths, self._places, table.num_rows)))
        self._rows += table.num_rows
        self._counts.update(counts)
        for outcome, kind in OUTCOMES.items():
            letters = [astuple(one)[:-1] for one in left_out if one.outcome == outcome]
            if letters:
                columns = [pa.array(list(c), f.type) for c, f in zip(zip(*letters, strict=True), LEFT_OUT, strict=True)]
                file = self._files.get(kind) or self._open(kind, LEFT_OUT)
                file.write(pa.Table.from_arrays(columns, schema=LEFT_OUT))
        if self._rows - self._written >= CHUNK_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting).sort_by(SORTED_BY)
        self._origins.append(table[ORIGIN].to_numpy())
        self._part.write(table.drop_columns(ORIGIN).cast(self._schema))
        self._waiting, self._written = [], self._rows
        point("part.group.after")

    def commit(self, tokens: int, seconds: dict[str, float], met: Sequence[ReadCounts]) -> PartResult:
        """Close, verify and publish the part.

        If another attempt was first, its part stays and this one is thrown away.

        Args:
            tokens: Tokens that the model computed.
            seconds: Time spent by stage, in seconds; handed on in the result.
            met: What was read of each fragment, in the order of the split. If it is not what the rows and the documents left out
                add up to, nothing is published.

        Returns:
            The part that has the name now, with its digest; `ours` says whether this attempt made it.

        Raises:
            LostDocumentsError: Documents were read that are not accounted for; nothing is published.
            UnavailableError: A file was not complete when it was read again after writing.
            StoreError: Either no part of this attempt was published, or the part was, and what was left out of it stays staged
                until `ledger.recover`.
        """
        self._flush()
        footer = {
            **self._about,
            "attempt": self._attempt,
            "rows": self._rows,
            **{kind: self._files[kind].rows if kind in self._files else 0 for kind in OUTCOMES.values()},
            "tokens": tokens,
            "counts": dict(self._counts),
            **written(met),
        }
        check_footer(self._split, footer)
        for kind, file in self._files.items():
            file.close(footer, {ORIGINS: encode(self._origins)} if kind == TAGS and len(self._places) > 1 else {})
        self._stack.close()
        point("part.close.after", self._staging)
        digest = ""
        for kind, file in self._files.items():
            found = _verify(self._store, file.path, file.rows)
            digest = found if kind == TAGS else digest
        point("part.verify.after")
        target = part_path(self._split.name, folder=self._folder)
        ours = self._published = publish(self._store, self._part.path, target, self._attempt)
        point("part.rename.after")
        if ours:
            for kind in OUTCOMES.values():
                if kind in self._files:
                    side = part_path(self._split.name, kind, self._folder)
                    publish(self._store, self._files[kind].path, side, self._attempt)
                    point("side.rename.after")
        else:
            footer = read_footer(self._store, target)
            digest = _verify(self._store, target, footer["rows"])
        try_delete(self._store, self._staging)
        point("clean.after")
        return done_of(self._split.name, footer, digest, seconds, ours)

    def abort(self) -> None:
        """Throw everything away; if the part is published already, what belongs to it stays staged until `ledger.recover`."""
        for file in self._files.values():
            file.give_up()
        try:
            self._stack.close()
        finally:
            if not self._published:
                try_delete(self._store, self._staging)


class PartFile:
    """A Parquet file of a part, either of its tags or of what was left out.

    Args:
        stream: Binary stream to write to; whoever opened it closes it.
        path: Where it is staged, below the store's root.
        schema: Columns of the file.

    Attributes:
        path: As given.
        rows: Rows written so far.
    """

    def __init__(self, stream: Any, path: str, schema: pa.Schema) -> None:
        self.path, self.rows = path, 0
        self._writer = pq.ParquetWriter(stream, schema, compression="zstd")

    def write(self, table: pa.Table) -> None:
        """Append rows, in row groups of at most GROUP_ROWS.

        Args:
            table: Rows in the schema of the file.
        """
        self._writer.write_table(table, row_group_size=GROUP_ROWS)
        self.rows += table.num_rows

    def close(self, footer: dict[str, Any], more: Mapping[bytes, bytes] | None = None) -> None:
        """Write the footer and end the file.

        Args:
            footer: What the attempt says of the part, ready for JSON; `read_footer` gives it back.
            more: Further metadata of the file, by key.
        """
        self._writer.add_key_value_metadata({FOOTER: json.dumps(footer), **(more or {})})
        self._writer.close()

    def give_up(self) -> None:
        """End without a complete file; errors on the way are ignored."""
        with suppress(OSError, ValueError, StoreError):
            self._writer.close()
        self._writer.is_open = False  # else it would try again, and fail again, when it is collected


def done_of(name: str, footer: dict[str, Any], sha256: str, seconds: dict[str, float], ours: bool = True) -> PartResult:
    """Build the result of a split from the footer of its part.

    Args:
        name: Name of the part.
        footer: As `read_footer` gives it.
        sha256: Digest of the part's file, in hexadecimal.
        seconds: Time spent by stage, in seconds.
        ours: Whether the attempt that asks has made the part.

    Returns:
        The result; its `read` is what the parts' files hold where the footer is too old to say what was read.
    """
    read = read_of(footer)
    return PartResult(
        name, footer["attempt"], footer["rows"], footer["dead_letters"], footer["filtered"], footer["tokens"], sha256, seconds,
        footer["counts"], ours, read=accounted_for(footer) if read is None else read,
    )  # fmt: skip


def read_footer(store: Store, path: str) -> dict[str, Any]:
    """Read what the attempt that made a file says of the part.

    Args:
        store: The output.
        path: Of the part's tags or of what was left out, below the store's root.

    Returns:
        The footer, as `Attempt.commit` wrote it.

    Raises:
        OutputError: The file is no part of a run.
    """
    return read_part(store, path)[0]


def read_part(store: Store, path: str) -> tuple[dict[str, Any], int]:
    """Read the footer of a part's file and how many rows the file holds.

    Args:
        store: The output.
        path: Of the part's tags or of what was left out, below the store's root.

    Returns:
        The footer, as `Attempt.commit` wrote it, and the number of rows by the Parquet metadata.

    Raises:
        OutputError: The file is no part of a run.
    """
    try:
        with store.open_read(path) as stream:
            about = pq.read_metadata(stream)
            found: dict[str, Any] = json.loads(about.metadata[FOOTER])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise OutputError(f"{store.url}/{path} is no part of a run ({type(error).__name__}); name another output") from error
    return found, int(about.num_rows)


def publish(store: Store, staged: str, target: str, attempt: str) -> bool:
    """Give a staged file its final name; whatever the store answers, the file that has the name decides.

    A rename may have been done though its answer was an error, and another attempt may have been first.

    Args:
        store: The output.
        staged: Path of the staged file.
        target: The final path.
        attempt: Name of the attempt that staged it.

    Returns:
        True if the file under the name is this attempt's, False if it is another one's.

    Raises:
        StoreError: The rename failed, not only because the name is taken, and no file of this attempt has the name.
        OutputError: What has the name is no part of a run.
    """
    try:
        store.rename_no_overwrite(staged, target)
    except StoreError as error:
        if store.stat(target) is None:
            raise
        if not isinstance(error, TakenError) and read_footer(store, target)["attempt"] != attempt:
            raise
        return bool(read_footer(store, target)["attempt"] == attempt)
    return True


def _verify(store: Store, path: str, rows: int) -> str:
    """Read the file again; gives its SHA-256. Raises UnavailableError if it is not whole."""
    try:
        with store.open_read(path) as stream:
            found = pq.read_metadata(stream).num_rows
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    except (pa.ArrowException, OSError) as error:
        raise UnavailableError(f"{store.url}/{path}", f"not whole after it was written ({error}); is the disk full?") from error
    if found != rows:
        raise UnavailableError(f"{store.url}/{path}", f"holds {found} rows, {rows} were written; is the disk full?")
    return digest
