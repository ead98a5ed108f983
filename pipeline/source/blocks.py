"""Collect records of any format in blocks of documents; what is no document is left out, with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipeline.contract import RAW_BYTES, TIME, Block, DocumentSpec, RejectedDocument, partition_column
from pipeline.source.discover import partitions_of
from pipeline.source.fields import MISSING, NoTextError, as_id, as_json, as_string, find, first_of, id_names, text_of, time_names
from pipeline.source.path_times import time_of_path
from pipeline.source.times import instant

BLOCK_ROWS = 4096
BLOCK_CHARACTERS = 1 << 20


class BlockBuilder:
    """Collects the documents of one file, and what is left out of it, in blocks.

    Args:
        path: Path of the file below the input's root, or `archive!/member`.
        columns: Which columns of a record become what.

    Attributes:
        path: The path as valid UTF-8, with `?` for what a file name holds beside that.
        columns: Which columns of a record become what.
    """

    def __init__(self, path: str, columns: DocumentSpec) -> None:
        # A file name need not be UTF-8; Arrow strings must be.
        self.path, self.columns = path.encode("utf-8", "replace").decode(), columns
        self._path_in_id = columns.path_in_id(self.path)
        self._folders = partitions_of(self.path)
        self._id_names, self._time_names = id_names(columns), time_names(columns)
        self._time_of_path = time_of_path(self.path, columns.time_from)
        self._begin()

    def _begin(self) -> None:
        self._texts: list[str] = []
        self._raws: list[bytes] = []
        self._positions: list[int] = []
        self._ids: list[str] = []
        self._sources: list[str | None] = []
        self._times: list[datetime | None] = []
        self._kept: dict[str, list[str | None]] = {name: [] for name in self.columns.keep}
        self._left_out: list[RejectedDocument] = []
        self._counts: Counter[str] = Counter()
        self._characters = 0

    def kill(self, position: int, reason: str, message: str, raw: bytes = b"") -> None:
        """Leave something out: add a dead letter in place of a document.

        Args:
            position: Where it begins, from 0: a byte of the plain file, or a row of a table.
            reason: A key of `pipeline.contract.REASONS`.
            message: What is wrong; never text of the document.
            raw: What was read, as it is in the file; the first RAW_BYTES are kept.
        """
        message = message.encode("utf-8", "replace").decode()
        self._left_out.append(RejectedDocument(self.path, position, None, reason, message, raw[:RAW_BYTES]))

    def add(self, position: int, record: Mapping[str, Any], raw: bytes = b"", replaced: int = 0) -> None:
        """Add one record as a document; a record without a text becomes a dead letter.

        Args:
            position: Where it begins, from 0: a byte of the plain file, or a row of a table.
            record: Values by column name.
            raw: The record as it is in the file, of which the first RAW_BYTES are kept; empty for a row of a table.
            replaced: Characters of the record that could not be decoded.
        """
        try:
            text = text_of(record, self.columns)
        except NoTextError as error:
            return self.kill(position, "no_text", str(error), raw or as_json(record))
        given = self._carried(self._value(record, self._id_names), as_id)
        self._texts.append(text)
        self._raws.append(raw[:RAW_BYTES])
        self._positions.append(position)
        self._ids.append(given or f"{self._path_in_id}@{position}")
        source = self._carried(self._value(record, (self.columns.source,)))
        self._sources.append(source or self._folders.get(self.columns.source))
        self._times.append(self._time(record))
        for name, values in self._kept.items():
            value = find(record, name)
            values.append(self._folders.get(name) if value is MISSING else self._carried(value))
        self._counts["made_ids"] += not given
        self._counts["replaced_characters"] += replaced
        self._characters += len(text)
        return None

    def count(self, more: Mapping[str, int]) -> None:
        """Add to the counts of what was noticed.

        Args:
            more: Counts by name, such as `unreadable_times`.
        """
        self._counts.update(more)

    def _value(self, record: Mapping[str, Any], names: tuple[str, ...]) -> Any:
        return first_of(record, names)[1]

    def _carried(self, value: Any, how: Callable[[Any], str | None] = as_string) -> str | None:
        try:
            return how(value)
        except ValueError:
            self._counts["unreadable_values"] += 1
            return None

    def _time(self, record: Mapping[str, Any]) -> datetime | None:
        if self.columns.time_from != "column":
            self._counts["unreadable_times"] += self._time_of_path is None
            return self._time_of_path
        try:
            return instant(self._value(record, self._time_names), self.columns.time_format)
        except ValueError:
            self._counts["unreadable_times"] += 1
            return None

    def full(self) -> bool:
        """Whether BLOCK_ROWS or BLOCK_CHARACTERS are reached, so that it is time to `take`."""
        return len(self._texts) + len(self._left_out) >= BLOCK_ROWS or self._characters >= BLOCK_CHARACTERS

    @property
    def empty(self) -> bool:
        """Whether nothing was collected since the last `take`."""
        return not self._texts and not self._left_out

    def take(self) -> Block:
        """Return what was collected since the last call as a block, and begin an empty one."""
        rows = len(self._texts)
        names = [*self.columns.keep, *map(partition_column, self.columns.partitions)]
        kept = [pa.array(self._kept[name], pa.string()) for name in self.columns.keep]
        folders = [pa.array([self._folders.get(name)] * rows, pa.string()) for name in self.columns.partitions]
        arrays = [pa.array(self._ids, pa.string()), pa.array(self._sources, pa.string()), pa.array(self._times, TIME)]
        table = pa.table([*arrays, *kept, *folders], names=["id", "source", "created_at", *names])
        block = Block([self.path] * rows, self._texts, self._positions, table, self._left_out, +self._counts, self._raws)
        self._begin()
        return block


def coalesce(blocks: Iterable[Block]) -> Iterator[Block]:
    """Join small blocks, in their order, into blocks of a good size: the model is slow on many small ones.

    Args:
        blocks: Of any files.

    Yields:
        Blocks of at most BLOCK_ROWS rows and BLOCK_CHARACTERS characters, or a single larger one as it came.
    """
    waiting: list[Block] = []
    rows = characters = 0
    for block in blocks:
        size = sum(map(len, block.texts))
        if waiting and (rows + block.rows > BLOCK_ROWS or characters + size > BLOCK_CHARACTERS):
            yield _joined(waiting)
            waiting, rows, characters = [], 0, 0
        waiting.append(block)
        rows += block.rows
        characters += size
    if waiting:
        yield _joined(waiting)


def _joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    return Block(
        [path for block in blocks for path in block.paths],
        [text for block in blocks for text in block.texts],
        [place for block in blocks for place in block.positions],
        pa.concat_tables([block.columns for block in blocks]).combine_chunks(),
        [one for block in blocks for one in block.left_out],
        sum((block.counts for block in blocks), Counter()),
        raws=[raw for block in blocks for raw in block.raws],
    )
