"""Read CSV and TSV: records of RFC 4180, or lines. A broken record costs its first line; the lines behind it are read again.

A quoted field may run over lines. It must then be closed by a quote that a delimiter or a line's end follows, within
MAX_LINE_BYTES and MAX_FIELD_LINES of the record's beginning, and the record must not have more fields than the header. Otherwise
the record's first line is a dead letter, and the lines behind it are read as if it were not there. Whether a record is broken
depends on nothing before its beginning, so that the pieces of a file hold the records of the whole.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipeline.contract import RAW_BYTES
from pipeline.source import lines
from pipeline.source.dialect import Dialect, FieldScanner, dialect_of, named
from pipeline.source.items import Item, Lost, Record
from pipeline.source.plain import Text, position_of

MAX_FIELD_LINES = 50_000
# A name that is told of; other ones may be a text, where there is no header.
_NAME = re.compile(r"[\w.:@-]{1,24}")


class Row(NamedTuple):
    """The fields of a record.

    Attributes:
        position: Its first byte in the plain file.
        end: The byte behind it.
        fields: As strings, without quotes and escapes.
        raw: Its first bytes, RAW_BYTES at most.
        replaced: Characters that could not be decoded.
    """

    position: int
    end: int
    fields: list[str]
    raw: bytes
    replaced: int


def delimited_records(text: Text, start: int, end: int | None, kind: str) -> Iterator[Item]:
    """Read the records of a CSV or TSV file that begin in a range of bytes.

    If `start` is 0, what is wrong with the header comes first, and an unusual dialect is noted in `text.noticed`.

    Args:
        text: The file.
        start: The first byte of the range, in the plain bytes.
        end: The byte behind the range; None: up to the end of the file.
        kind: `csv` or `tsv`.

    Yields:
        Records, and what is lost in the place of some, in order.
    """
    dialect = dialect_of(text, kind)
    rows = RecordReader(text.lines_from(dialect.begin), dialect)
    header, lost, begin = _header(rows, text)
    if start == 0:
        yield from lost
        text.noticed.update(dialect.unusual(kind))
    else:
        rows.go_to(text.lines(start) if dialect.quote is None else text.lines_from(start))
    columns, width, null = named(header, text.columns), len(header), text.columns.reading.null
    for row in rows:
        if end is not None and position_of(row) >= end:
            return
        if position_of(row) < begin:  # the header, in a piece that begins before its end
            continue
        if isinstance(row, Lost):
            yield row
        elif len(row.fields) > width and any(row.fields[width:]):
            yield Lost(row.position, row.end, "bad_csv", f"{len(row.fields)} fields, the header has {width}", row.raw)
        else:
            fields = zip(columns, row.fields, strict=False)
            values = {name: None if value == null else value for name, value in fields if name is not None}
            yield Record(row.position, row.end, values, row.raw, row.replaced)


def delimited_count(text: Text, kind: str) -> Iterator[int]:
    """Count the records of a CSV or TSV file.

    Args:
        text: The file.
        kind: `csv` or `tsv`.

    Yields:
        Numbers whose sum is how many items `delimited_records` gives for the whole file.
    """
    dialect = dialect_of(text, kind)
    rows = RecordReader(text.lines_from(dialect.begin), dialect)
    yield len(_header(rows, text)[1])
    for _ in rows:
        yield 1


def record_places(text: Text, kind: str) -> Iterator[int]:
    """Find the places where a CSV or TSV file can be cut.

    Args:
        text: The file.
        kind: `csv` or `tsv`.

    Returns:
        The plain byte at which each record behind the header begins, in order.
    """
    dialect = dialect_of(text, kind)
    rows = RecordReader(text.lines_from(dialect.begin), dialect)
    _header(rows, text)
    return map(position_of, rows)


def _header(rows: RecordReader, text: Text) -> tuple[list[str], list[Lost], int]:
    """The columns' names, what is lost with a header that is broken or names no column of the text, and where it ends."""
    columns = text.columns
    row = None if columns.reading.header else next(rows, None)
    header = row.fields if isinstance(row, Row) else list(columns.reading.header)
    rows.width = len(header)
    if isinstance(row, Lost):
        return header, [row], row.end
    end = 0 if row is None else row.end
    if row is None or columns.text in named(header, columns) or _made_of(columns.text, header):
        return header, [], end
    shown = ", ".join(name if _NAME.fullmatch(name) else "..." for name in header[:10])
    message = f"the header names no column {columns.text!r}, its {len(header)} columns are {shown}; --columns says the names of "
    return header, [Lost(row.position, end, "no_text", message + "columns of files that have no header", row.raw)], end


def _made_of(wanted: str, header: Sequence[str]) -> bool:
    """Whether a text of several columns, or one inside another, may come of these."""
    return any(part in header or part.partition(".")[0] in header for part in wanted.split(","))


class RecordReader:
    """Reads records from lines; empty lines are skipped.

    Args:
        source: The lines.
        dialect: How they are parted into fields.

    Attributes:
        width: How many fields the header has; None while that is read.
    """

    def __init__(self, source: Iterator[lines.Line | Lost], dialect: Dialect) -> None:
        self._source, self._dialect = source, dialect
        self._waiting: deque[lines.Line | Lost] = deque()  # lines that are read again
        self.width: int | None = None

    def go_to(self, source: Iterator[lines.Line | Lost]) -> None:
        """Go on with other lines, and forget those that were to be read again.

        Args:
            source: The lines.
        """
        self._source = source
        self._waiting.clear()

    def __iter__(self) -> RecordReader:
        return self

    def _line(self) -> lines.Line | Lost | None:
        return self._waiting.popleft() if self._waiting else next(self._source, None)

    def __next__(self) -> Row | Lost:
        dialect = self._dialect
        while (line := self._line()) is not None:
            if isinstance(line, Lost):
                return line
            position, raw = line
            decoded, replaced = dialect.coding.decode(raw)
            content = decoded.rstrip("\r\n")
            if not content:
                continue
            fields = dialect.simple(content)
            if fields is None or (len(fields) != self.width and dialect.quote and dialect.quote in content):
                return self._quoted(line, decoded, replaced)
            return Row(position, position + len(raw), fields, raw[:RAW_BYTES], replaced)
        raise StopIteration

    def _quoted(self, line: lines.Line, decoded: str, replaced: int) -> Row | Lost:
        """The record that begins with a line that has quotes in it."""
        taken, size, trouble = [line], len(line[1]), ""
        scan = self._dialect.scan(decoded)
        while scan.open and not trouble:
            more = self._line()
            if more is None:
                trouble = "a quote is not closed before the file ends"
            elif isinstance(more, Lost) or size + len(more[1]) > lines.MAX_LINE_BYTES or len(taken) >= MAX_FIELD_LINES:
                self._waiting.appendleft(more)
                trouble = f"a quote is not closed within {size:,} bytes and {len(taken):,} lines"
            else:
                taken.append(more)
                size += len(more[1])
                text, bad = self._dialect.coding.decode(more[1])
                replaced += bad
                scan.go_on(text)
        trouble = trouble or self._why_not(scan, len(taken))
        position, raw = line
        if trouble:
            self._waiting.extendleft(reversed(taken[1:]))
            return Lost(position, position + len(raw), "bad_csv", f"{trouble}; this line alone is left out", raw[:RAW_BYTES])
        fields = scan.fields
        if self.width is not None and len(fields) > self.width and len(taken) == 1:
            fields = self._dialect.blanks_before_quotes(decoded, self.width) or fields
        whole = b"".join(raw for _, raw in taken[:64])
        return Row(position, position + size, fields, whole[:RAW_BYTES], replaced)

    def _why_not(self, scan: FieldScanner, count: int) -> str:
        """Why so many lines are no record, "" if they are one. One line is one, whatever its quotes are."""
        if count == 1:
            return ""
        if scan.improper:
            return f"a quote is open over {count} lines, and other characters stand behind the one that would close it"
        if self.width is not None and any(scan.fields[self.width :]):
            return f"a quote is open over {count} lines, and {len(scan.fields)} fields would come of them"
        return ""
