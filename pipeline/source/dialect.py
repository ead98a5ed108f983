"""Find out which characters separate, quote and escape the fields of CSV and TSV: as configured, or by the first records."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from pipeline.contract import DocumentSpec
from pipeline.source.encodings import TextEncoding
from pipeline.source.fields import roles, text_names
from pipeline.source.plain import Text

AUTO = "auto"
csv.field_size_limit(sys.maxsize)  # lines are limited already
_USUAL = {"csv": ",", "tsv": "\t"}
# Excel, Hive and others; the usual one of the format goes before them.
_DELIMITERS = (",", ";", "\t", "|", "\x01")
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", "\x01": "control_a", "\\": "backslash"}
# The escape is told by so many records at most, in so many bytes of the beginning.
_TELLING_RECORDS, _TELLING_BYTES = 200, 1 << 18
_SEP = re.compile(r"sep=(.)$", re.I)


@dataclass(frozen=True)
class Dialect:
    """How a CSV or TSV file is parted into records and fields.

    Attributes:
        coding: The encoding of the file.
        delimiter: The character between fields.
        quote: The character around fields; None: there is none, and every line is a record.
        escape: The character before others that are meant literally; empty if there is none.
        begin: The first byte behind a byte order mark and a line like `sep=;`.
        header: Names of the columns, for a file without a header.
    """

    coding: TextEncoding
    delimiter: str
    quote: str | None
    escape: str
    begin: int
    header: tuple[str, ...] = ()

    def unusual(self, kind: str) -> list[str]:
        """Return the names under which an unusual delimiter or escape is counted, such as `files_with_delimiter_semicolon`.

        Args:
            kind: `csv` or `tsv`, which tells the usual delimiter.
        """
        found = [] if self.delimiter == _USUAL[kind] else [f"files_with_delimiter_{NAMES.get(self.delimiter, self.delimiter)}"]
        return found + [f"files_with_escape_{NAMES.get(self.escape, self.escape)}"] * bool(self.escape)

    @cached_property
    def _special(self) -> tuple[str, ...]:
        return tuple(char for char in (self.quote, self.escape) if char)

    def simple(self, content: str) -> list[str] | None:
        """Parse a line that is a whole record and whose quotes, if any, are well-formed.

        Args:
            content: The line without its end.

        Returns:
            The fields; None for any other line.
        """
        for char in self._special:
            if char in content:
                try:
                    return next(csv.reader((content,), **self._strict))
                except csv.Error:
                    return None
        return content.split(self.delimiter)

    @cached_property
    def _strict(self) -> dict[str, Any]:
        quoting = {"quotechar": self.quote} if self.quote else {"quoting": csv.QUOTE_NONE}
        return {"delimiter": self.delimiter, "escapechar": self.escape or None, "strict": True, **quoting}

    @cached_property
    def _closed(self) -> re.Pattern[str]:
        """What is in quotes, up to the one that closes."""
        quote, escape = re.escape(self.quote or ""), re.escape(self.escape)
        plain = f"[^{quote}{escape}]*+"
        return re.compile(f"({plain}(?:(?:{quote}{quote}{f'|{escape}.' if escape else ''}){plain})*+){quote}", re.S)

    @cached_property
    def _bare(self) -> re.Pattern[str]:
        """What is not in quotes, up to a delimiter or the line's end."""
        delimiter, escape = re.escape(self.delimiter), re.escape(self.escape)
        plain = f"[^{delimiter}{escape}]*+"
        return re.compile(f"{plain}(?:{escape}.{plain})*+" if escape else plain, re.S)

    def closed(self, text: str, at: int) -> re.Match[str] | None:
        """Match the rest of a quoted field, with the quote that closes it.

        Args:
            text: Lines of the record.
            at: Index of the first character behind the opening quote.

        Returns:
            A match whose first group is the content, with quotes and escapes as they stand there; None if the text holds no
            closing quote.
        """
        return self._closed.match(text, at)

    def bare(self, text: str, at: int, stop: int) -> str:
        """Return the characters before the next delimiter that is not escaped, with the escapes as they stand there.

        Args:
            text: A line.
            at: Index of the first character, outside of quotes.
            stop: Index behind the last character that counts.
        """
        return self._bare.match(text, at, stop).group()  # type: ignore[union-attr]

    def unescaped(self, text: str) -> str:
        """Return a field that is not quoted without its escape characters.

        Args:
            text: The field as it stands in the file.
        """
        return re.sub(re.escape(self.escape) + "(.)", r"\1", text, flags=re.S) if self.escape and self.escape in text else text

    def unquoted(self, text: str) -> str:
        """Return the content of a quoted field, with doubled quotes and escapes resolved.

        Args:
            text: What stands between the quotes.
        """
        if self.escape and self.escape in text:
            quote, escape = re.escape(self.quote or ""), re.escape(self.escape)
            return re.sub(f"{quote}({quote})|{escape}(.)", lambda m: m.group(1) or m.group(2), text, flags=re.S)
        return text.replace(2 * self.quote, self.quote) if self.quote else text

    def scan(self, line: str) -> FieldScanner:
        """Begin to parse a record that may run over several lines.

        Args:
            line: The first line, with its end.

        Returns:
            The scanner, which has read the line.
        """
        return FieldScanner(self, line)

    def blanks_before_quotes(self, line: str, width: int) -> list[str] | None:
        """Parse a record of one line once more, as if there were no blanks between delimiters and quotes.

        Args:
            line: The record, with its line end.
            width: How many fields it must have.

        Returns:
            The fields; None if it is not well-formed so, or has another number of fields.
        """
        if self.quote is None:
            return None
        nearer = re.sub(f"({re.escape(self.delimiter)}) +(?={re.escape(self.quote)})", r"\1", line)
        scan = self.scan(nearer)
        return scan.fields if not scan.open and not scan.improper and len(scan.fields) == width else None


class FieldScanner:
    """Parses the fields of one record, line by line.

    Args:
        dialect: How the record is parted into fields.
        line: The first line, with its end.

    Attributes:
        fields: Those that are complete.
        open: Whether a quote is not closed yet.
        improper: Whether anything but a delimiter or a line's end stood behind a closing quote.
    """

    def __init__(self, dialect: Dialect, line: str) -> None:
        self._dialect = dialect
        self.fields: list[str] = []
        self._parts: list[str] = []  # of the field whose quote is open
        self.open = self.improper = False
        self._read(line, 0)

    def go_on(self, line: str) -> None:
        """Read the next line of the record, in which a quote is open.

        Args:
            line: The line, with its end.
        """
        self._read(line, 0)

    def _read(self, line: str, at: int) -> None:
        dialect, stop = self._dialect, len(line.rstrip("\r\n"))
        while at <= stop:
            if not self.open and dialect.quote and line.startswith(dialect.quote, at, stop):
                self.open, at = True, at + 1
            if self.open:
                found = dialect.closed(line, at)
                if found is None:
                    self._parts.append(line[at:])
                    return
                self._parts.append(found.group(1))
                value, at = dialect.unquoted("".join(self._parts)), found.end()
                self._parts, self.open = [], False
                more = dialect.bare(line, at, stop)
                self.improper |= bool(more)
                value += dialect.unescaped(more)
            else:
                more = dialect.bare(line, at, stop)
                value = dialect.unescaped(more)
            self.fields.append(value)
            at += len(more) + 1


def dialect_of(text: Text, kind: str) -> Dialect:
    """Find the dialect of a CSV or TSV file by the configuration and, where that says auto, by the head of the file.

    As every reader of a piece sees the same head, all pieces have the same dialect.

    Args:
        text: The file, or what a piece of it is read from.
        kind: `csv` or `tsv`.

    Returns:
        The dialect.
    """
    reading, coding = text.columns.reading, text.coding
    quote = None if kind == "tsv" else reading.quote or None
    begin, delimiter = coding.mark, reading.delimiter
    first = next(_head_lines(text), "")
    if (sep := _SEP.match(first.strip())) is not None and kind == "csv":
        begin, delimiter = begin + len(first.encode(coding.name)), sep.group(1)
    if delimiter in ("", AUTO):
        delimiter = _told(text, kind, first, quote) if delimiter == AUTO else _USUAL[kind]
    escape = "" if reading.escape == AUTO else reading.escape
    found = Dialect(coding, delimiter, quote, escape, begin, reading.header)
    if reading.escape == AUTO and quote and _tells_escape(text, found):
        return replace(found, escape="\\")
    return found


def _head_lines(text: Text) -> Iterator[str]:
    """Whole lines of the beginning, with what ends them."""
    coding = text.coding
    decoded = text.coding.decode(text.plain.head[coding.mark : _TELLING_BYTES])[0]
    ends = "\r" if coding.newline.strip(b"\0") == b"\r" else "\n"
    *whole, last = decoded.split(ends)
    for one in whole:
        yield one + ends
    if last and len(text.plain.head) < _TELLING_BYTES:
        yield last


def _told(text: Text, kind: str, first: str, quote: str | None) -> str:
    """The delimiter between whose fields the text's column is named or, of files without a header, that gives as many fields."""
    usual = _USUAL[kind]
    for one in (usual, *(one for one in _DELIMITERS if one != usual)):
        fields = Dialect(text.coding, one, quote, "", 0).scan(first).fields
        if text.columns.reading.header:
            if len(fields) == len(text.columns.reading.header) > 1:
                return one
        elif text.columns.text in named(fields, text.columns):
            return one
    return usual


def _tells_escape(text: Text, dialect: Dialect) -> bool:
    r"""Whether more of the first records have as many fields as the header if \ escapes quotes, as Spark writes them."""
    escaped = replace(dialect, escape="\\")
    width, gained = 0, 0
    for number, line in enumerate(_head_lines(text)):
        if number > _TELLING_RECORDS:
            break
        usual = dialect.scan(line)
        width = width or len(dialect.header) or len(usual.fields)
        if '\\"' in line:
            other = escaped.scan(line)
            gained += (not other.open and len(other.fields) == width) - (not usual.open and len(usual.fields) == width)
    return gained > 0


def named(header: Sequence[str], columns: DocumentSpec) -> list[str | None]:
    """Match the columns of a header with the names that are wanted.

    A column that is wanted and not there by its exact name is the first one whose name differs only in case and in blanks at its
    ends, unless that one is wanted itself.

    Args:
        header: Names as they stand in the file.
        columns: Tells which columns are wanted.

    Returns:
        The name of each column; None for one whose name another one before it bears.
    """
    first = {name: i for i, name in reversed(list(enumerate(header)))}
    found: list[str | None] = [name if first[name] == i else None for i, name in enumerate(header)]
    asked = (columns.text, columns.id, columns.time, columns.source, *columns.keep)
    taken = {*asked, *text_names(columns), *(name for names in roles(columns).values() for name in names)}
    for wanted in asked:
        if wanted and wanted not in found:
            free = [(i, name) for i, name in enumerate(found) if name is not None and name not in taken]
            near = [i for i, name in free if name.strip().casefold() == wanted.casefold()]
            if near:
                found[near[0]] = wanted
    return found
