"""Pieces of a table that cannot be read: a row group of Parquet, a stripe of ORC, a batch of Arrow, a block of Avro. Each costs
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pipeline.errors import StoreError


@dataclass(frozen=True, slots=True)
class Damaged:
    """Some rows that cannot be read, from number `first` on; 0 rows if nobody knows how many they are."""

    first: int
    rows: int
    why: str


Found = Iterator[tuple[int, Any | Damaged]]


def said(error: Exception, piece: str) -> str:
    """What is wrong with a piece, in words. Raises the error if it is not the file's: what a store says, an I/O error."""
    if isinstance(error, StoreError) or getattr(error, "errno", None) is not None:
        raise error
    text = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return f"{piece} is damaged ({text[:300]})"


def each(name: str, count: int, read: Callable[[int], Any], rows: Callable[[int], int], total: Callable[[], int]) -> Found:
    """The pieces of a table, each with the number of its first row. `rows` tells how many a piece has, unless it is damaged
    so that it raises, `total` how many the table has.
    """
    number, sizes = 0, list[int]()
    for i in range(count):
        try:
            piece = read(i)
        except Exception as error:  # noqa: BLE001 - whatever a file makes a reader raise, it is the file's
            why = said(error, f"{name} {i}")
            sizes = sizes or _sizes(count, rows, total)
            yield number, Damaged(number, sizes[i], why)
            number += sizes[i]
        else:
            yield number, piece
            number += piece.num_rows


def _sizes(count: int, rows: Callable[[int], int], total: Callable[[], int]) -> list[int]:
    """How many rows each piece has. Those that no longer tell share what the table has beside the others."""
    known: list[int | None] = []
    for i in range(count):
        try:
            known.append(rows(i))
        except Exception as error:  # noqa: BLE001
            said(error, "")
            known.append(None)
    left, silent = total() - sum(size or 0 for size in known), known.count(None)
    shares = iter([left * (i + 1) // silent - left * i // silent for i in range(silent)])
    return [next(shares) if size is None else size for size in known]


def joined(found: Found) -> Found:
    """The same, with neighbours that are damaged as one."""
    lost: Damaged | None = None
    try:
        for first, piece in found:
            if isinstance(piece, Damaged):
                lost = piece if lost is None else replace(lost, rows=lost.rows + piece.rows)
                continue
            if lost is not None:
                yield lost.first, lost
                lost = None
            yield first, piece
    except Exception:
        if lost is not None:
            yield lost.first, lost
        raise
    if lost is not None:
        yield lost.first, lost
