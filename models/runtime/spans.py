"""The best span of each of several passages, from the logits of beginning and end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spans:
    """The best span of each row, and what the best beside it has.

    Attributes:
        first: First piece of the span with the highest sum of both logits, int64, shape (rows,); of equal ones the shortest, and
            of these the earliest. 0 where there is no span.
        last: Its last piece, int64, shape (rows,).
        best: Its sum, float64, shape (rows,); -inf where there is no span.
        other: The highest sum of a span that does not overlap it, float64, shape (rows,); -inf where there is none.
    """

    first: Int64
    last: Int64
    best: Float64
    other: Float64


def best_spans(logits: Float64, begins: Bool, ends: Bool, longest: int) -> Spans:
    """Find the best span of each row.

    Args:
        logits: Of beginning and end, shape (rows, pieces, 2).
        begins: Pieces that may begin a span, shape (rows, pieces); nothing but these is looked at, so rows may have padding.
        ends: Pieces that may end one, shape (rows, pieces).
        longest: Pieces that a span has at most.

    Returns:
        The spans.
    """
    rows, pieces = begins.shape
    if not pieces:
        none = np.full(rows, -np.inf)
        return Spans(np.zeros(rows, np.int64), np.zeros(rows, np.int64), none, none)
    start, end = (np.where(may, logits[..., n], -np.inf) for n, may in enumerate((begins, ends)))
    ahead = _windows(end, longest, (0, longest - 1))
    length = ahead.argmax(axis=-1)
    starting = start + _at(ahead, length)  # the best span that begins here, of equal ones the shortest
    best = starting.max(axis=1)
    shortest = np.where(starting == best[:, None], length, longest)
    first = np.where(np.isfinite(best), shortest.argmin(axis=1), 0)
    last = np.where(np.isfinite(best), first + _at(length, first), 0)
    ending = end + _windows(start, longest, (longest - 1, 0)).max(axis=-1)
    at = np.arange(pieces)
    beside = np.where(at > last[:, None], starting, -np.inf), np.where(at < first[:, None], ending, -np.inf)
    return Spans(first, last, best, np.maximum(*beside).max(axis=1))


def _windows(values: Float64, longest: int, padding: tuple[int, int]) -> Float64:
    """So many neighbours of each value, shape (rows, pieces, longest)."""
    padded = np.pad(values, ((0, 0), padding), constant_values=-np.inf)
    return sliding_window_view(padded, longest, axis=1)


def _at(values: npt.NDArray[Any], index: Int64) -> npt.NDArray[Any]:
    """Of the last axis the value of that index."""
    return np.take_along_axis(values, index[..., None], axis=-1)[..., 0]


def log_sums(logits: Float64, inside: Bool) -> Float64:
    """Compute the logarithm of the sum of exponentials of each row, adding from the left: padding behind changes no bit of it.

    Args:
        logits: Shape (rows, pieces, 2).
        inside: What is added, shape (rows, pieces), at least one of each row.

    Returns:
        Shape (rows, 2).
    """
    values = np.where(inside[..., None], logits, -np.inf)
    highest = values.max(axis=1)
    sums = np.cumsum(np.exp(values - highest[:, None]), axis=1)[:, -1]
    return np.asarray(highest + np.log(sums))
