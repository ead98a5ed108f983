"""Where a big file may be cut: between row groups of a table, at any line or record of text. What is packed is unpacked once to
find its places, which costs a small part of what tagging it takes; see docs/decisions/0035-packed-files-cut.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow.parquet as pq

from pipeline.contract import Columns
from pipeline.source.archives import archive_of
from pipeline.source.contents import HEAD_BYTES
from pipeline.source.formats import FORMATS
from pipeline.source.items import Gap
from pipeline.source.plain import Plain, Text
from pipeline.source.unpack import Begins
from pipeline.source.warc import is_warc
from pipeline.stopping import stop_is_asked
from pipeline.store.base import Entry, Store

# How often it is said how far a file is unpacked, which is not said of one that takes less.
SAY_S = 10.0


@dataclass(frozen=True, slots=True)
class Cuts:
    """Places in a file, the first of which is 0 and the last its end: bytes of text, of what it unpacks to (`unpacked` of them)
    if that is not None, or numbers of row groups. `encoding` is that of text, decided here once for all pieces; `begins` are
    places where unpacking may begin.
    """

    places: list[int]
    encoding: str = ""
    unpacked: int | None = None
    begins: Begins | None = None


def row_group_cuts(store: Store, entry: Entry, step: int) -> Cuts:
    """A Parquet file into pieces of about `step` of its bytes, or whole."""
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
    columns: Columns,
    say: Callable[[str], object] = lambda line: None,
) -> Cuts:
    """A file of text into pieces of about `steps` bytes, the second number for what is packed; or whole, if it cannot be cut.

    `say` hears how far a packed file is that takes long. Raises what reading the file raises, KeyboardInterrupt if it is to stop.
    """
    form, whole = FORMATS[kind], Cuts([0, entry.size])
    if form.table or form.read is None:
        return whole
    with store.open_read(entry.path, (0, entry.size)) as stream:
        plain = Plain(stream, entry.size)
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

    def __init__(self, plain: Plain, tell: Callable[[int], object]) -> None:
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
            if stop_is_asked():
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
