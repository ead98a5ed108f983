"""Read one fragment of a file as blocks of documents, whatever its format."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace

import pyarrow as pa

from pipeline.contract import Block, DocumentSpec, Fragment
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
from pipeline.source.blocks import BlockBuilder
from pipeline.source.contents import Content, IsTableError, content_of_piece, contents, head_bytes
from pipeline.source.cursors import Cursors
from pipeline.source.decompress import BombError
from pipeline.source.formats import FORMATS, PACKED
from pipeline.source.items import FileRefusedError, Item, Lost
from pipeline.source.read_counts import ReadCounts
from pipeline.source.tables import read_table
from pipeline.store.base import Store

UNREADABLE = (OSError, EOFError, zlib.error, pa.ArrowException, FileRefusedError)


def read_fragment(
    store: Store,
    fragment: Fragment,
    columns: DocumentSpec,
    met: ReadCounts | None = None,
    make: Callable[[str, DocumentSpec], BlockBuilder] = BlockBuilder,
    cursors: Cursors | None = None,
) -> Iterator[Block]:
    """Read a fragment as blocks of documents; what cannot be read ends with a dead letter that says where.

    Args:
        store: Holds the file.
        fragment: What is to be read.
        columns: How the input is read.
        met: Is added to: what was met. Without it the counts are kept for this fragment alone.
        make: Makes what takes the records of a path.
        cursors: Where the caller is in compressed files, for one who reads their pieces in order.

    Yields:
        Blocks of documents.

    Raises:
        InputChangedError: The file is not the one that was planned, or no longer at the end.
        UnavailableError: The file cannot be read for now: an I/O error of the machine is no fault of the file.
        DeniedError: The file may not be looked at.
        LostDocumentsError: A table holds another number of rows than its footer says.
        ModuleNotFoundError: The format needs an extra that is not installed.
    """
    met = met or ReadCounts()
    check_unchanged(store, fragment)
    feed = _Feed(fragment.path, columns, met, make)
    at = fragment.start
    try:
        with closing(_records(store, fragment, feed, cursors or Cursors())) as records:
            for after in records:
                at = after
                point("source.read")
                yield from feed.blocks()
    except BombError as error:
        met.stop(fragment, str(error))
        feed.builder.kill(at, "bomb", str(error))
    except (*UNREADABLE, StoreError) as error:
        check_unchanged(store, fragment)
        if isinstance(error, UnavailableError):
            raise
        if isinstance(error, OSError) and error.errno in TRANSIENT:
            raise UnavailableError(fragment.path, f"{error.strerror}; try again") from error
        why = str(error) if isinstance(error, FileRefusedError) else f"{type(error).__name__}: {error}"
        lost_bytes = 0 if FORMATS[fragment.format].table else fragment.end - at
        met.stop(fragment, why, "denied" if isinstance(error, DeniedError) else "broken", lost_bytes)
        feed.builder.kill(at, "file_unreadable", why)
    yield from feed.blocks(last=True)
    check_unchanged(store, fragment)
    if not met.agrees(fragment):
        raise LostDocumentsError(f"{fragment.path}: its footer counts {fragment.rows} rows, {met.documents} were read")


def check_unchanged(store: Store, fragment: Fragment) -> None:
    """Check that a file has the size and the time of modification that the plan names.

    Args:
        store: Holds the file.
        fragment: The file, or a piece of it, as planned.

    Raises:
        InputGoneError: The file is no longer there.
        InputChangedError: The file has changed.
        StoreError: The file cannot be looked at.
    """
    now = store.stat(fragment.path)
    if now is None:
        raise InputGoneError(fragment.path, "planned, but no longer there")
    if (now.size, now.modified_ns) != (fragment.size, fragment.modified_ns):
        raise InputChangedError(fragment.path, f"changed since it was planned ({fragment.size:,} bytes then, {now.size:,} now)")


class _Feed:
    """Items into blocks: those of one path after the other's, as members of an archive have paths of their own."""

    def __init__(
        self, path: str, columns: DocumentSpec, met: ReadCounts, make: Callable[[str, DocumentSpec], BlockBuilder]
    ) -> None:
        self._path, self.columns, self.met, self._make = path, columns, met, make
        self.builder = make(path, columns)
        self._done: list[Block] = []

    def turn_to(self, path: str) -> None:
        """What comes now is of this path."""
        if path != self._path:
            self._close()
            self._path, self.builder = path, self._make(path, self.columns)

    def add(self, item: Item) -> None:
        """A record, or what is lost instead."""
        met = self.met
        if isinstance(item, Lost):
            met.lose(item.lost)
            if item.reason == "file_unreadable":
                met.damaged(item.message)
            met.documents += 1
            self.builder.kill(item.position, item.reason, item.message, item.raw)
            return
        met.documents += 1
        met.bytes += item.end - item.position
        try:
            self.builder.add(item.position, item.values, item.raw, item.replaced)
        except RecursionError:
            self.builder.kill(item.position, "not_json", "values inside values, too many to write down", item.raw)

    def blocks(self, last: bool = False) -> Iterator[Block]:
        """Those that are full; with `last` all."""
        if last or self.builder.full():
            self._close()
        done, self._done = self._done, []
        if last and not done and +self.met.noticed:
            done = [self.builder.take()]  # of no documents, to tell of the file
        for block in done:
            block.counts.update(self.met.take())
            yield block

    def _close(self) -> None:
        if not self.builder.empty:
            self._done.append(self.builder.take())


def _records(store: Store, fragment: Fragment, feed: _Feed, cursors: Cursors) -> Generator[int, None, None]:
    """Feed the fragment's records, counting them; gives, after each, the position of what comes next."""
    met, columns = feed.met, feed.columns
    if FORMATS[fragment.format].table:
        if fragment.path.lower().endswith(PACKED):
            raise FileRefusedError(
                f"{fragment.format} that is packed as a whole cannot be read in parts: unpack it (it is packed inside)"
            )
        yield from read_table(store, fragment, feed.builder, met)
        return
    start = fragment.start
    # What is wrong at the end of a packed file belongs to its last piece.
    end = None if fragment.is_whole or fragment.end == fragment.unpacked else fragment.end
    try:
        with closing(_texts(store, fragment, columns, met.noticed, cursors)) as texts:
            for path, found in texts:
                feed.turn_to(path)
                if isinstance(found, Lost):
                    feed.add(found)
                    yield found.end
                    continue
                try:
                    for item in found.items(start, end):
                        feed.add(item)
                        yield item.end
                finally:  # also for whoever reads a beginning only
                    if start == 0:
                        met.noticed += found.text.noticed
    except IsTableError as error:
        yield from read_table(store, replace(fragment, format=str(error)), feed.builder, met)


def _texts(
    store: Store, fragment: Fragment, columns: DocumentSpec, noticed: Counter[str], cursors: Cursors
) -> Generator[tuple[str, Content | Lost], None, None]:
    if fragment.unpacked is not None:
        with cursors.opened(store, fragment, head_bytes(fragment)) as plain:
            yield fragment.path, content_of_piece(plain, fragment, columns)
        return
    with store.open_read(fragment.path, (fragment.start, fragment.end)) as stream:
        yield from contents(stream, fragment, columns, noticed)
