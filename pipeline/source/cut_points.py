"""Find where a big file may be cut: a table between row groups, text at any line or record.

A compressed file is decompressed once to find its places, which costs a small part of what tagging it takes; see
docs/decisions/0035-packed-files-cut.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow.parquet as pq

from pipeline.contract import DocumentSpec
from pipeline.signals import stop_requested
from pipeline.source.archives import archive_of
from pipeline.source.contents import HEAD_BYTES
from pipeline.source.decompress import Begins
from pipeline.source.formats import FORMATS
from pipeline.source.items import Gap
from pipeline.source.plain import PlainFile, Text
from pipeline.source.warc import is_warc
from pipeline.store.base import Entry, Store

# How often it is said how far a file is unpacked, which is not said of one that takes less.
SAY_S = 10.0


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where a file is cut.

    Attributes:
        places: The first is 0, the last the end of the file: numbers of row groups, or bytes of text, which are plain bytes if
            the file is compressed.
        encoding: That of text, detected once here for all pieces; empty where there is no text or the file stays whole.
        unpacked: Plain bytes of a compressed file; None if it is not compressed, or stays whole.
        begins: Where decompression may begin.
    """

    places: list[int]
    encoding: str = ""
    unpacked: int | None = None
    begins: Begins | None = None


def row_group_cuts(store: Store, entry: Entry, step: int) -> Cuts:
    """Cut a Parquet file between row groups into pieces of about equal size.

    Args:
        store: Holds the file.
        entry: The file.
        step: Bytes of the file per piece.

    Returns:
        Row groups at which to cut; the whole file in bytes if it has fewer than two of them.
    """
    with store.open_read(entry.path) as stream:
        footer = pq.read_metadata(stream)
    if footer.num_row_groups < 2:
        return Cuts([0, entry.size])
    sizes = [footer.row_group(i).total_byte_size for i in range(footer.num_row_groups)]
    goal = step * sum(sizes) / max(1, entry.size)
    cuts, waiting = [0], 0
    for i, size in enumerate(sizes):
        if waiting and waiting + size > goal:
            cuts.append(i)
            waiting = 0
        waiting += size
    return Cuts([*cuts, footer.num_row_groups])


def text_cuts(
    store: Store,
    entry: Entry,
    kind: str,
    steps: tuple[int, int],
    columns: DocumentSpec,
    say: Callable[[str], object] = lambda line: None,
) -> Cuts:
    """Cut a file of text into pieces of about equal size; one that cannot be cut stays whole.

    Archives and web archives are never cut, nor is text in which a line feed's byte does not end a line (UTF-16, or lines that
    end with a carriage return).

    Args:
        store: Holds the file.
        entry: The file.
        kind: Name of the format, a key of `pipeline.source.formats.FORMATS`.
        steps: Bytes per piece: of a file that is not compressed, and plain bytes of one that is.
        columns: How the input is read.
        say: Hears every SAY_S seconds how far a compressed file is read.

    Returns:
        The bytes at which to cut; 0 and the file's size for a file that stays whole.

    Raises:
        KeyboardInterrupt: The process was asked to stop.
        Exception: Whatever reading the file raises.
    """
    form, whole = FORMATS[kind], Cuts([0, entry.size])
    if form.table or form.read is None:
        return whole
    with store.open_read(entry.path, (0, entry.size)) as stream:
        plain = PlainFile(stream, entry.size)
        if archive_of(plain) or is_warc(plain.head):
            return whole
        seen = _Seen(plain, lambda mb: say(f"{entry.path}: {mb:,} MB are unpacked, to find where it can be cut"))
        text = Text(seen if plain.packed else plain, columns)
        if not text.coding.plain:
            return whole
        step, found = steps[plain.packed], [0]
        if form.lines(text):
            # Any byte: the reader begins behind the next line's end.
            end = seen.read_all() if plain.packed else entry.size
            found = [*range(0, end, step)]
        elif form.places is not None:
            for i, at in enumerate(form.places(text)):
                if i == 0 and at > HEAD_BYTES:
                    return whole
                if at - found[-1] >= step:
                    found.append(at)
            end = seen.size if plain.packed else entry.size
        else:
            return whole
    cuts = [0, *(at for at in found[1:] if end - at >= step // 2), end]
    if len(cuts) == 2:
        return whole
    return Cuts(cuts, text.coding.name, end, plain.begins) if plain.packed else Cuts(cuts, text.coding.name)


class _Seen:
    """The plain bytes of a packed file; `size` of them have come."""

    packed = True

    def __init__(self, plain: PlainFile, tell: Callable[[int], object]) -> None:
        self.head = plain.head
        self._plain, self._tell, self._said = plain, tell, time.monotonic()
        self.size = 0

    def telling(self) -> bytes:
        """The head: no other place can be looked at."""
        return self.head

    def chunks(self, at: int = 0) -> Iterator[bytes | Gap]:
        """See Plain."""
        self.size = at
        for piece in self._plain.chunks(at):
            self.size += 0 if isinstance(piece, Gap) else len(piece)
            if stop_requested():
                raise KeyboardInterrupt
            if time.monotonic() - self._said >= SAY_S:
                self._said = time.monotonic()
                self._tell(self.size >> 20)
            yield piece

    def read_all(self) -> int:
        """How many they are."""
        for _ in self.chunks():
            pass
        return self.size
