"""Read tables around damaged pieces, each of which costs itself alone.

A piece is a row group of Parquet, a stripe of ORC, a batch of Arrow or a block of Avro.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pipeline.errors import StoreError


@dataclass(frozen=True, slots=True)
class Damaged:
    """Rows of a table that cannot be read.

    Attributes:
        first: Number of the first of them, from 0.
        rows: How many they are; 0 if that is unknown.
        why: What is wrong, in words.
    """

    first: int
    rows: int
    why: str


Found = Iterator[tuple[int, Any | Damaged]]


def said(error: Exception, piece: str) -> str:
    """Say what is wrong with a piece, or raise the error again if the file is not to blame.

    Args:
        error: What reading the piece has raised.
        piece: What it is called, such as `row group 3`.

    Returns:
        A phrase for the dead letter's message, with at most 300 characters of the error.

    Raises:
        StoreError: The store has raised it.
        OSError: It is an I/O error, as its `errno` tells.
    """
    if isinstance(error, StoreError) or getattr(error, "errno", None) is not None:
        raise error
    text = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return f"{piece} is damaged ({text[:300]})"


def each(name: str, count: int, read: Callable[[int], Any], rows: Callable[[int], int], total: Callable[[], int]) -> Found:
    """Read a table piece by piece; a damaged piece costs itself alone.

    Args:
        name: What a piece is called, such as `stripe`.
        count: How many pieces there are.
        read: Reads the piece of this index; it has `num_rows`.
        rows: Tells how many rows the piece of this index has; raises if it is damaged so that nothing tells.
        total: Tells how many rows the table has. What it has beside the pieces that are known is divided among the others.

    Yields:
        Number of the piece's first row, from 0, and the piece or, where it is damaged, its rows.

    Raises:
        Exception: Whatever reading raises that is not the file's fault; see `said`.
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
    """Merge neighbouring damaged pieces into one.

    Args:
        found: Pieces in order, each behind the number of its first row.

    Yields:
        The same. If `found` raises, the damaged rows before that are given first.
    """
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
