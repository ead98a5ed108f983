"""The data that flows: what a block of documents is, what becomes of it, and the Arrow schemas of the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from models.runtime.schema import TAGS

DEAD_LETTERS = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False, metadata={"doc": "input file, relative to the input"}),
        pa.field("line", pa.int64(), nullable=False, metadata={"doc": "from 1"}),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False, metadata={"doc": "never text of the document"}),
    ]
)


def tagged_schema(keep: Sequence[str]) -> pa.Schema:
    """Columns of a part: the id, the carried columns (strings; other values as JSON), the Tagger's columns."""
    carried = [pa.field(name, pa.string()) for name in keep]
    return pa.schema([pa.field("id", pa.string(), nullable=False), *carried, *TAGS])


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A line of a file that cannot be a document, and why."""

    path: str
    line: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive documents of one file: B texts, their `columns` (id and carried ones, B rows), the dead letters."""

    texts: list[str]
    columns: pa.Table
    dead: tuple[DeadLetter, ...]

    @property
    def rows(self) -> int:
        """Lines read: documents and dead letters."""
        return len(self.texts) + len(self.dead)


@dataclass(frozen=True, slots=True)
class Tagged:
    """A block after the model: rows of `tagged_schema`, and the tokens of their texts."""

    table: pa.Table
    dead: tuple[DeadLetter, ...]
    tokens: int
