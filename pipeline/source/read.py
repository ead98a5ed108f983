"""One fragment of a file into blocks of documents, whatever its format."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pipeline.contract import Block, Columns, Fragment
from pipeline.errors import (
    TRANSIENT,
    DeniedError,
    InputChangedError,
    InputGoneError,
    LostDocumentsError,
    StoreError,
    UnavailableError,
)
from pipeline.faults import point
from pipeline.source import unpack
from pipeline.source.blocks import BlockBuilder
from pipeline.source.discover import TABLES
from pipeline.source.fields import names_text
from pipeline.source.met import Met
from pipeline.source.tables import read_table
from pipeline.source.unpack import UNREADABLE, BombError, lines, text_encoding, unpacked
from pipeline.store.base import Store

# A line of these alone is no document.
BLANK = b" \t\r\n\0"


def read_fragment(
    store: Store,
    fragment: Fragment,
    columns: Columns,
    met: Met | None = None,
    make: Callable[[str, Columns], BlockBuilder] = BlockBuilder,
) -> Iterator[Block]:
    """The fragment's blocks. What cannot be read ends with a dead letter that says where. `met` counts what was met; what
    `make` makes takes the records.

    Raises InputChangedError if the file is not, or at the end no longer, the one that was planned, UnavailableError if it
    cannot be read for now (an I/O error of the machine is no fault of the file), LostDocumentsError if a table holds another
    number of rows than its footer says.
    """
    met = met or Met()
    check_unchanged(store, fragment)
    builder = make(fragment.path, columns)
    at = fragment.start
    try:
        for after in _records(store, fragment, builder, met):
            at = after
            point("source.read")
            if builder.full():
                yield builder.take()
    except BombError as error:
        met.stop(fragment, str(error))
        builder.kill(at, "bomb", str(error))
    except (*UNREADABLE, StoreError, csv.Error) as error:
        check_unchanged(store, fragment)
        if isinstance(error, UnavailableError):
            raise
        if isinstance(error, OSError) and error.errno in TRANSIENT:
            raise UnavailableError(fragment.path, f"{error.strerror}; try again") from error
        why = f"{type(error).__name__}: {error}"
        met.stop(fragment, why, "denied" if isinstance(error, DeniedError) else "broken")
        builder.kill(at, "file_unreadable", why)
    if not builder.empty:
        yield builder.take()
    check_unchanged(store, fragment)
    if not met.agrees(fragment):
        raise LostDocumentsError(f"{fragment.path}: its footer counts {fragment.rows} rows, {met.documents} were read")


def check_unchanged(store: Store, fragment: Fragment) -> None:
    """Raise InputChangedError unless the file has the size and the time of modification that the plan names."""
    now = store.stat(fragment.path)
    if now is None:
        raise InputGoneError(fragment.path, "planned, but no longer there")
    if (now.size, now.modified_ns) != (fragment.size, fragment.modified_ns):
        raise InputChangedError(fragment.path, f"changed since it was planned ({fragment.size:,} bytes then, {now.size:,} now)")


def _records(store: Store, fragment: Fragment, builder: BlockBuilder, met: Met) -> Iterator[int]:
    """Add the fragment's records to the builder, counting them; gives, after each, the position of what comes next."""
    if fragment.format in TABLES:
        yield from read_table(store, fragment, builder, met)
        return
    with store.open_read(fragment.path, (fragment.start, fragment.end)) as stream:
        plain, packed = unpacked(stream, fragment.size)
        head = plain.read(4) if packed else stream.read(4)
        encoding, mark = text_encoding(head)
        if not packed:
            stream.seek(0)
        # Of an unpacked stream the first bytes cannot be read twice.
        source = _Joined(head[mark:], plain) if packed else plain
        if not packed:
            stream.seek(mark)
        whole = fragment.start == 0 and fragment.end == fragment.size
        if fragment.format == "text" and builder.columns.documents == "file":
            for after in _one_document(source, encoding, builder):
                met.documents += 1
                yield after
        elif fragment.format in ("csv", "tsv"):
            yield from _delimited(source, fragment, encoding, mark, whole, builder, met)
        else:
            at = _first(source, fragment, mark)
            add = _add_json if fragment.format == "jsonl" else _add_text
            # The first line begins behind the mark.
            end = None if whole else max(fragment.end, mark + 1 if fragment.start == 0 else 0)
            for start, raw, long in lines(source, encoding, at, end):
                met.documents += raw is None or bool(raw.strip(BLANK))
                if raw is None:
                    builder.kill(start, "line_too_long", f"over {unpack.MAX_LINE_BYTES:,} bytes", long)
                elif raw.strip(BLANK):
                    add(builder, start, raw, encoding)
                yield start + len(raw or b"")


class _Joined:
    """A stream behind bytes that were read from it already."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            head, self._head = self._head, b""
            return head + self._stream.read()
        head, self._head = self._head[:size], self._head[size:]
        return head or self._stream.read(size)

    def readline(self, size: int = -1) -> bytes:
        if not self._head:
            return self._stream.readline(size)
        head, newline, rest = self._head.partition(b"\n")
        self._head = rest
        return head + newline if newline else head + self._stream.readline(size - len(head) if size >= 0 else -1)


def _first(stream: BinaryIO | _Joined, fragment: Fragment, mark: int) -> int:
    """Go to the first line that begins in the fragment; gives its position."""
    if fragment.start == 0 or isinstance(stream, _Joined):
        return mark
    stream.seek(fragment.start - 1)
    at = fragment.start - 1
    while raw := stream.readline(unpack.MAX_LINE_BYTES):
        at += len(raw)
        if raw.endswith(b"\n"):
            break
    return at


def _decoded(raw: bytes, encoding: str) -> tuple[str, int]:
    try:
        return raw.decode(encoding), 0
    except UnicodeDecodeError:
        text = raw.decode(encoding, "replace")
        return text, text.count("\ufffd")


def _add_json(builder: BlockBuilder, position: int, raw: bytes, encoding: str) -> None:
    text, replaced = _decoded(raw, encoding)
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        return builder.kill(position, "not_json", f"{error.msg.removesuffix(' at')} at character {error.pos}", raw)
    except (RecursionError, ValueError) as error:
        return builder.kill(position, "not_json", type(error).__name__, raw)
    if not isinstance(record, dict):
        return builder.kill(position, "not_an_object", f"a {type(record).__name__}", raw)
    return builder.add(position, record, raw, replaced)


def _add_text(builder: BlockBuilder, position: int, raw: bytes, encoding: str) -> None:
    text, replaced = _decoded(raw, encoding)
    builder.add(position, {builder.columns.text: text.rstrip("\r\n")}, raw, replaced)


def _one_document(stream: BinaryIO | _Joined, encoding: str, builder: BlockBuilder) -> Iterator[int]:
    raw = stream.read(unpack.MAX_LINE_BYTES + 1)
    while len(raw) <= unpack.MAX_LINE_BYTES and (more := stream.read(unpack.MAX_LINE_BYTES + 1 - len(raw))):
        raw += more
    if len(raw) > unpack.MAX_LINE_BYTES:
        builder.kill(0, "line_too_long", f"over {unpack.MAX_LINE_BYTES:,} bytes", raw)
    else:
        text, replaced = _decoded(raw, encoding)
        builder.add(0, {builder.columns.text: text}, raw, replaced)
    yield len(raw)


def _delimited(
    stream: BinaryIO | _Joined, fragment: Fragment, encoding: str, mark: int, whole: bool, builder: BlockBuilder, met: Met
) -> Iterator[int]:
    """CSV by RFC 4180, TSV without quotes; the first record of the file names the columns."""
    source = _Decoded(stream, encoding, mark, None if whole else fragment.end)
    csv.field_size_limit(unpack.MAX_LINE_BYTES)
    header = next(_reader(source, fragment.format), [])
    if fragment.start == 0 and not names_text(header, builder.columns):
        text = f"the header names no column {builder.columns.text!r}; its {len(header)} columns end before byte {source.at:,}"
        met.documents += 1
        builder.kill(mark, "no_text", text, source.take()[0])
    if fragment.start > 0 and not isinstance(stream, _Joined):
        at = _first(stream, fragment, mark) if fragment.format == "tsv" else stream.seek(fragment.start)
        source = _Decoded(stream, encoding, at, fragment.end)
    rows = _reader(source, fragment.format)
    source.take()
    while True:
        start = source.at
        row = next(rows, None)
        if row is None:
            return
        raw, replaced = source.take()
        met.documents += bool(row)
        if len(row) > len(header):
            builder.kill(start, "bad_csv", f"{len(row)} fields, the header has {len(header)}", raw)
        elif row:
            builder.add(start, dict(zip(header, row, strict=False)), raw, replaced)
        yield source.at


def _reader(source: Iterator[str], kind: str) -> Iterator[list[str]]:
    if kind == "tsv":
        return csv.reader(source, delimiter="\t", quoting=csv.QUOTE_NONE)
    return csv.reader(source)


class _Decoded:
    """Lines as strings, for a csv reader; remembers what was read since `take`."""

    def __init__(self, stream: BinaryIO | _Joined, encoding: str, at: int, end: int | None) -> None:
        self.at, self._encoding = at, encoding
        self._lines = lines(stream, encoding, at, end)
        self._raw: list[bytes] = []
        self._replaced = 0

    def __iter__(self) -> _Decoded:
        return self

    def __next__(self) -> str:
        start, raw, _ = next(self._lines)
        if raw is None:
            raise csv.Error(f"a line of over {unpack.MAX_LINE_BYTES:,} bytes")
        self.at = start + len(raw)
        self._raw.append(raw)
        text, replaced = _decoded(raw, self._encoding)
        self._replaced += replaced
        return text

    def take(self) -> tuple[bytes, int]:
        """The bytes of the record, and how many characters of it could not be decoded."""
        found = b"".join(self._raw), self._replaced
        self._raw, self._replaced = [], 0
        return found
