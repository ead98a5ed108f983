"""Records of any format into blocks of documents; what is no document is left out, with its reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipeline.contract import RAW_BYTES, TIME, Block, Columns, LeftOut, partition_column
from pipeline.source.discover import partitions_of

BLOCK_ROWS = 4096
BLOCK_CHARACTERS = 1 << 20
# Numbers from this on are milliseconds since 1970; as seconds they would lie behind the year 5000.
_MILLISECONDS = 1e11


def as_string(value: Any) -> str | None:
    """A carried value: strings as they are, everything else as JSON."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.encode("utf-8", "replace").decode()


def as_time(value: Any) -> datetime | None:
    """ISO 8601, seconds or milliseconds since 1970, or a date; a time without a zone is UTC.

    Raises ValueError for anything else.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise ValueError("a truth value is no time")
    if isinstance(value, (int, float)) or (isinstance(value, str) and value.strip().replace(".", "", 1).isdigit()):
        number = float(value)
        try:
            return datetime.fromtimestamp(number / 1000 if number >= _MILLISECONDS else number, UTC)
        except (OverflowError, OSError) as error:
            raise ValueError(str(error)) from error
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


class BlockBuilder:
    """Collects the documents of one file."""

    def __init__(self, path: str, columns: Columns) -> None:
        # A file name need not be UTF-8; Arrow strings must be.
        self.path, self.columns = path.encode("utf-8", "replace").decode(), columns
        self._path_in_id = columns.path_in_id(self.path)
        self._folders = partitions_of(self.path)
        self._begin()

    def _begin(self) -> None:
        self._texts: list[str] = []
        self._positions: list[int] = []
        self._ids: list[str] = []
        self._sources: list[str | None] = []
        self._times: list[datetime | None] = []
        self._kept: dict[str, list[str | None]] = {name: [] for name in self.columns.keep}
        self._left_out: list[LeftOut] = []
        self._counts: Counter[str] = Counter()
        self._characters = 0

    def kill(self, position: int, reason: str, message: str, raw: bytes = b"") -> None:
        """A dead letter."""
        message = message.encode("utf-8", "replace").decode()
        self._left_out.append(LeftOut(self.path, position, None, reason, message, raw[:RAW_BYTES]))

    def add(self, position: int, record: Mapping[str, Any], raw: bytes = b"", replaced: int = 0) -> None:
        """One record; without a text it is a dead letter. `replaced` counts characters that could not be decoded."""
        columns = self.columns
        text = record.get(columns.text)
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
            replaced += text.count("\ufffd")
        if not isinstance(text, str):
            found = "missing" if columns.text not in record else f"a {type(text).__name__}"
            return self.kill(position, "no_text", f"column {columns.text!r} is {found}", raw)
        given = as_string(record.get(columns.id)) if columns.id else None
        try:
            time = as_time(record.get(columns.time))
        except (ValueError, OverflowError):
            time = None
            self._counts["unreadable_times"] += 1
        self._texts.append(text)
        self._positions.append(position)
        self._ids.append(given or f"{self._path_in_id}@{position}")
        self._sources.append(as_string(record.get(columns.source)) or self._folders.get(columns.source))
        self._times.append(time)
        for name, values in self._kept.items():
            values.append(as_string(record[name]) if name in record else self._folders.get(name))
        self._counts["made_ids"] += not given
        self._counts["replaced_characters"] += replaced
        self._characters += len(text)
        return None

    def full(self) -> bool:
        """Whether it is time to `take`."""
        return len(self._texts) + len(self._left_out) >= BLOCK_ROWS or self._characters >= BLOCK_CHARACTERS

    @property
    def empty(self) -> bool:
        return not self._texts and not self._left_out

    def take(self) -> Block:
        """What was collected since the last time."""
        rows = len(self._texts)
        names = [*self.columns.keep, *map(partition_column, self.columns.partitions)]
        kept = [pa.array(self._kept[name], pa.string()) for name in self.columns.keep]
        folders = [pa.array([self._folders.get(name)] * rows, pa.string()) for name in self.columns.partitions]
        arrays = [pa.array(self._ids, pa.string()), pa.array(self._sources, pa.string()), pa.array(self._times, TIME)]
        table = pa.table([*arrays, *kept, *folders], names=["id", "source", "created_at", *names])
        block = Block([self.path] * rows, self._texts, self._positions, table, self._left_out, +self._counts)
        self._begin()
        return block


def merged(blocks: Iterable[Block]) -> Iterator[Block]:
    """The same documents in blocks of a good size: the model is slow on one small file after the other."""
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
    )
