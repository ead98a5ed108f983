"""Find the encoding of a text file: by its mark, by a pattern of NULs, as UTF-8, or by Firefox's detector; once per file."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

import chardetng_py

from pipeline.errors import ConfigError

# So many bytes of a file's beginning decide.
HEAD_BYTES = 1 << 20
# "marks" is what plans of before 0.2 mean: UTF-8, or what a mark says.
AUTO, MARKS = "auto", "marks"
# With the longer marks first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32-le"), (b"\0\0\xfe\xff", "utf-32-be"), (b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"), (b"\x84\x31\x95\x33", "gb18030"),
)  # fmt: skip
# Encodings, each by the larger one that contains it.
_LARGER = {
    "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs", "iso8859-1": "cp1252",
    "ascii": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8",
}  # fmt: skip
_KNOWN = {
    b"\x89PNG": "a PNG image", b"\xff\xd8\xff": "a JPEG image", b"GIF8": "a GIF image", b"%PDF": "a PDF", b"\x7fELF": "a program",
    b"SQLite format 3": "an SQLite database", b"\xd0\xcf\x11\xe0": "an old Office file", b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file", b"Obj\x01": "an Avro file", b"ORC": "an ORC file", b"PK\x03\x04": "a zip archive",
}  # fmt: skip
_WELL_FORMED = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
# A character that was cut off, as by a limit in bytes, says nothing against UTF-8.
_CUT_OFF = re.compile(rb"[\xe0-\xef][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{1,2}")
# Control characters that texts hold: white space, escapes, and the separators of Hive.
_TEXTUAL = frozenset("\t\n\r\f\v\b\x1b\x01\x02\x03\x1c\x1d\x1e\x1f\x85\0")
_STRANGE = re.compile(
    "[" + "".join(re.escape(chr(c)) for c in range(0xA0) if (c < 32 or c >= 127) and chr(c) not in _TEXTUAL) + "]"
)


@dataclass(frozen=True, slots=True)
class TextEncoding:
    """How the bytes of a file are text.

    Attributes:
        name: Python's name of the encoding.
        mark: Length in bytes of the byte order mark that the file begins with; 0 if there is none.
        newline: The bytes that end a line.
        unit: Bytes of a code unit; a line ends only at a multiple of it: in UTF-16 at an even place.
    """

    name: str = "utf-8"
    mark: int = 0
    newline: bytes = b"\n"
    unit: int = 1

    def decode(self, raw: bytes) -> tuple[str, int]:
        """Decode bytes, with U+FFFD for what is invalid.

        Args:
            raw: Whole characters, possibly behind a byte order mark.

        Returns:
            The text without a mark before it, and how many characters could not be decoded.
        """
        try:
            text, replaced = raw.decode(self.name), 0
        except UnicodeError:
            text = raw.decode(self.name, "replace")
            replaced = text.count("\ufffd")
        return text.removeprefix("\ufeff"), replaced

    @property
    def plain(self) -> bool:
        """Whether a file of this encoding can be cut behind any byte that is a line feed."""
        return self.newline == b"\n" and self.unit == 1


def check_encoding(name: str) -> None:
    """Check the name of an encoding.

    Args:
        name: AUTO, MARKS, or a name that Python knows.

    Raises:
        ConfigError: It names no encoding of text.
    """
    if name in (AUTO, MARKS):
        return
    try:
        "\n".encode(name)
        b"\n".decode(name, "replace")
    except (LookupError, UnicodeError, ValueError) as error:
        raise ConfigError(f"encoding {name}: {error}; give auto, or a name such as gb18030, big5 or windows-1252") from error


def detect_encoding(head: bytes, wanted: str) -> TextEncoding:
    """Find the encoding of a file; a byte order mark overrides what is configured.

    Args:
        head: The first bytes of the file, up to HEAD_BYTES.
        wanted: AUTO, MARKS (UTF-8 without a mark), or the name of an encoding.

    Returns:
        The encoding.

    Raises:
        LookupError: Python does not know the encoding that is wanted.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return _with_lines(name, len(mark), head)
    if wanted == AUTO:
        return _with_lines(_detected(head), 0, head)
    return _with_lines("utf-8" if wanted == MARKS else superset_encoding(wanted), 0, head)


def superset_encoding(name: str) -> str:
    """Return the name of the encoding as which this one is read: the larger one that contains it, such as gb18030 for gbk.

    Args:
        name: Any name that Python knows.

    Raises:
        LookupError: Python does not know it.
    """
    name = codecs.lookup(name).name
    return _LARGER.get(name, name)


def known_coding(name: str, head: bytes) -> TextEncoding:
    """Return the encoding of a file that was cut, for which it was detected when the file was planned.

    Args:
        name: Name of the encoding.
        head: The first four bytes of the file at least, which tell whether there is a byte order mark.
    """
    mark = next((len(mark) for mark, marked in _MARKS if head.startswith(mark) and marked == name), 0)
    return _with_lines(name, mark, b"")


def _with_lines(name: str, mark: int, head: bytes) -> TextEncoding:
    newline, cr = "\n".encode(name), "\r".encode(name)
    unit = 4 if name.startswith("utf-32") else 2 if name.startswith("utf-16") else 1
    if _at_unit(head, newline, unit) < 0 <= _at_unit(head, cr, unit):
        newline = cr  # as of an old Macintosh, or a spreadsheet there
    return TextEncoding(name, mark, newline, unit)


def _at_unit(data: bytes, what: bytes, unit: int) -> int:
    place = data.find(what)
    while place >= 0 and place % unit:
        place = data.find(what, place + 1)
    return place


def _detected(head: bytes) -> str:
    if b"\0" in head and (wide := _wide(head)):
        return wide
    if head.isascii() or _is_utf8(head):
        return "utf-8"
    telling = b"\n".join(line for line in head.splitlines() if not line.isascii())[: 1 << 18]
    try:
        return superset_encoding(chardetng_py.detect(telling))
    except LookupError:
        return "cp1252"


def _is_utf8(head: bytes) -> bool:
    """Whether at least half of what is no ASCII is well-formed: one bad line among good ones does not make another encoding."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
        return True
    except UnicodeDecodeError:
        good = len(_WELL_FORMED.findall(head))
        bad = sum(byte >= 0x80 for byte in _CUT_OFF.sub(b"", _WELL_FORMED.sub(b"", head)))
        return good >= bad


def _wide(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: NULs at one place of each unit, and what comes of it is text."""
    whole = head[: len(head) // 4 * 4] or head[: len(head) // 2 * 2]
    nul = [whole[place::4].count(0) for place in range(4)]
    quarter, few = len(whole) / 4, 0.02 * len(whole) / 4
    found = None
    if min(nul[2], nul[3]) > 0.9 * quarter and nul[0] < 0.5 * quarter:
        found = "utf-32-le"
    elif min(nul[0], nul[1]) > 0.9 * quarter and nul[3] < 0.5 * quarter:
        found = "utf-32-be"
    elif max(nul[0], nul[2]) <= few < max(nul[1], nul[3]):
        found = "utf-16-le"
    elif max(nul[1], nul[3]) <= few < max(nul[0], nul[2]):
        found = "utf-16-be"
    if found is None:
        return None
    try:
        text = codecs.getincrementaldecoder(found)().decode(whole)
    except UnicodeDecodeError:
        return None
    alien = sum(not char.isprintable() and char not in _TEXTUAL for char in text)
    return found if "\0" not in text and alien <= 0.02 * len(text) else None


def check_text(head: bytes, coding: TextEncoding) -> str | None:
    """Check that a file is text; NULs, as a crash leaves them, are no objection.

    Args:
        head: The first bytes of the file.
        coding: Its encoding.

    Returns:
        Why it is no text; None if it is.
    """
    for magic, what in _KNOWN.items():
        if head.startswith(magic):
            return f"no text: it looks like {what}"
    sample = head[coding.mark : 1 << 16]
    text = sample.decode(coding.name, "replace").replace("\0", "")
    strange, undecoded = len(_STRANGE.findall(text)), text.count("\ufffd")
    if (strange >= 8 and strange > 0.02 * len(text)) or strange + undecoded > max(8, 0.3 * len(text)):
        what = f"{strange + undecoded:,} of the first {len(text):,} characters, read as {coding.name}, are none"
        return f"mostly no text: {what}; is it another encoding (--encoding NAME), or no text at all?"
    return None
