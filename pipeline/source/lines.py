"""Split the pieces of a file into lines. A line that is too long, or torn by a gap, costs itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pipeline.contract import RAW_BYTES
from pipeline.source.encodings import TextEncoding
from pipeline.source.items import Gap, Lost

MAX_LINE_BYTES = 16 << 20

Line = tuple[int, bytes]  # position, and the bytes with what ends the line


def lines(chunks: Iterable[bytes | Gap], at: int, coding: TextEncoding) -> Iterator[Line | Lost]:
    """Split plain bytes into lines.

    Args:
        chunks: Plain bytes and gaps, in order.
        at: Position of the first of them in the plain file; a line begins there.
        coding: Tells what ends a line.

    Yields:
        Each line as its position and its bytes with what ends it; or what is lost, if it is longer than MAX_LINE_BYTES or torn by
        a gap.
    """
    newline, unit = coding.newline, coding.unit
    held = b""
    torn: _Torn | None = None
    for chunk in chunks:
        if isinstance(chunk, Gap):
            torn = torn or _Torn(at, held[:RAW_BYTES])
            torn.messages.append(chunk.message)
            torn.lost += len(held) + chunk.lost
            at, held = at + len(held), b""
            continue
        *whole, held = _split(held + chunk if held else chunk, newline, unit)
        for one in whole:
            raw = one + newline
            if torn is not None:
                yield torn.end(at + len(raw), raw)
                torn = None
            elif len(one) > MAX_LINE_BYTES:
                yield too_long(at, at + len(raw), raw)
            else:
                yield at, raw
            at += len(raw)
        if len(held) > MAX_LINE_BYTES:
            torn = torn or _Torn(at, held[:RAW_BYTES])
            cut = len(held) - len(held) % unit
            at, held = at + cut, held[cut:]
    if torn is not None:
        yield torn.end(at + len(held), held)
    elif held:
        yield at, held


@dataclass(slots=True)
class _Torn:
    """The beginning of a line whose end has not come yet: it is too long or, with messages, torn by gaps."""

    position: int
    raw: bytes
    lost: int = 0
    messages: list[str] = field(default_factory=list)

    def end(self, end: int, rest: bytes) -> Lost:
        """The line ends at byte `end`, with the bytes `rest`."""
        if not self.messages:
            return too_long(self.position, end, self.raw)
        message, lost = "; ".join(self.messages), self.lost + len(rest)
        return Lost(self.position, end, "file_unreadable", message, self.raw, lost, rest[:MAX_LINE_BYTES])


def too_long(position: int, end: int, raw: bytes) -> Lost:
    """Return what stands for a record that is longer than a document may be.

    Args:
        position: Its first byte in the plain file.
        end: The byte behind it.
        raw: Its first bytes, of which RAW_BYTES are kept.
    """
    return Lost(position, end, "line_too_long", f"over {MAX_LINE_BYTES:,} bytes", raw[:RAW_BYTES])


def _split(data: bytes, newline: bytes, unit: int) -> list[bytes]:
    if unit == 1:
        return data.split(newline)
    found, start = [], 0
    place = data.find(newline)
    while place >= 0:
        if place % unit == start % unit:
            found.append(data[start:place])
            start = place + len(newline)
            place = data.find(newline, start)
        else:
            place = data.find(newline, place + 1)
    return [*found, data[start:]]
