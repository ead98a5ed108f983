"""Ragged batches: windows over long texts, sorted by length and cut by a token budget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.runtime.tokenizer import Bool, Int32, Int64, Pieces, UInt8

# Where a long text has to be cut, each side still sees this many pieces of the other: few behind a sentence's end, where
# little hangs on what went before (each costs time), and more inside a sentence.
OVERLAP_PIECES = 4
OVERLAP_INSIDE = 16


@dataclass(frozen=True, slots=True)
class Windows:
    """W windows over the pieces of B texts.

    Neighbouring windows of a long text overlap, so that each sees context; but every piece is owned by exactly one window, whose
    logits count for it. Pieces are numbered through all texts.

    Attributes:
        doc: Index of the text that each window is cut from, int64, shape (W,).
        first: First piece that the window reads, int64, shape (W,).
        last: One past the last piece that it reads, int64, shape (W,).
        own_first: First piece that it owns, int64, shape (W,).
        own_last: One past the last piece that it owns, int64, shape (W,).
    """

    doc: Int64
    first: Int64
    last: Int64
    own_first: Int64
    own_last: Int64


@dataclass(frozen=True, slots=True)
class RaggedBatch:
    """B sequences laid end to end without padding, n tokens in all, [CLS] and [SEP] included.

    Attributes:
        ids: Token ids, int32, shape (n,).
        cases: Case features, uint8, shape (n,).
        offsets: Where each sequence begins, and the end of the last, int64, shape (B + 1,).
        windows: Index into `Windows` of each sequence, int64, shape (B,).
    """

    ids: Int32
    cases: UInt8
    offsets: Int64
    windows: Int64

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return int(np.diff(self.offsets).max())

    def padded(self) -> tuple[Int64, Bool]:
        """Compute the padded layout of the batch: one row a sequence, S tokens wide, the longest sequence's length.

        Returns:
            For every place of the rows an index into the flat arrays (0 for padding), int64, shape (B, S); and a mask, True where
            a token is, bool, shape (B, S).
        """
        lengths = np.diff(self.offsets)
        columns = np.arange(lengths.max())
        inside = columns[None, :] < lengths[:, None]
        return np.where(inside, self.offsets[:-1, None] + columns[None, :], 0), inside


def ranges(starts: Int64, counts: Int64) -> Int64:
    """Lay ranges of whole numbers one behind another.

    Args:
        starts: The first number of each range, int64, shape (R,).
        counts: How many numbers each has, int64, shape (R,).

    Returns:
        The numbers, int64, shape (the sum of the counts,).
    """
    return np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))


# Sizes of batches in few shapes: rows, and tokens of a row; beyond the last one multiples of MANY. Widths go as far as the
# longest window of a reader: a Chinese passage of an index has 250 characters, each of them a token.
FEW_ROWS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128])
FEW_WIDTHS = np.array([*range(16, 129, 16), *range(160, 385, 32)])
MANY = 128


def in_few_shapes(index: Int64, inside: Bool) -> tuple[Int64, Bool]:
    """Pad a padded layout further, to one of a few shapes: an engine that compiles for each shape then seldom has to.

    Args:
        index: For every place an index into the flat arrays, int64, shape (B, S).
        inside: True where a token is, bool, shape (B, S).

    Returns:
        Both with more rows and columns, padding.
    """
    shape = [_next_size(size, sizes) for size, sizes in zip(inside.shape, (FEW_ROWS, FEW_WIDTHS), strict=True)]
    more = [(0, new - old) for new, old in zip(shape, inside.shape, strict=True)]
    return np.pad(index, more), np.pad(inside, more)


def few_shapes(tokens: int, rows: int, widest: int) -> list[tuple[int, int]]:
    """List the few shapes of batches.

    Args:
        tokens: Places of the largest batch, padding included.
        rows: Batches of at most so many rows may have more.
        widest: Tokens of the longest row.

    Returns:
        Rows and columns of each.
    """
    shapes = [(height, width) for height in FEW_ROWS.tolist() for width in FEW_WIDTHS.tolist()]
    return [(h, w) for h, w in shapes if w <= _next_size(widest, FEW_WIDTHS) and (h * w <= tokens or h <= rows)]


def _next_size(size: int, sizes: Int64) -> int:
    return int(sizes[np.searchsorted(sizes, size)]) if size <= sizes[-1] else -(-size // MANY) * MANY


def make_windows(pieces: Pieces, breaks: Bool, limit: int) -> Windows:
    """Cover texts with windows of at most `limit` pieces; a text that fits gets one.

    A longer text is cut after the last sentence end that fits, unless that leaves the window less than half full; else
    before the last word that fits; else anywhere.

    Args:
        pieces: Pieces of all texts, N in all.
        breaks: Whether a piece ends a sentence, bool, shape (N,).
        limit: Pieces of the longest window, overlap included, specials not.

    Returns:
        The windows; a text without pieces gets none.
    """
    counts = np.diff(pieces.offsets)
    short = np.flatnonzero((counts > 0) & (counts <= limit))
    rows = [np.stack([short, *(2 * [pieces.offsets[short]]), *(2 * [pieces.offsets[short + 1]])])]
    inside = min(OVERLAP_INSIDE, limit // 4)
    at_end = min(OVERLAP_PIECES, inside)
    for doc in np.flatnonzero(counts > limit):
        begin, end = int(pieces.offsets[doc]), int(pieces.offsets[doc + 1])
        cuts, sentence = _cuts(pieces.units[begin:end], breaks[begin:end], limit - 2 * inside)
        own_first, own_last = cuts[:-1] + begin, cuts[1:] + begin
        overlap = np.where(sentence, at_end, inside)
        first, last = np.maximum(own_first - overlap[:-1], begin), np.minimum(own_last + overlap[1:], end)
        rows.append(np.stack([np.full(len(first), doc), first, own_first, last, own_last]))
    doc, first, own_first, last, own_last = np.concatenate(rows, axis=1)
    return Windows(doc, first, last, own_first, own_last)


def _cuts(units: Bool, breaks: Bool, stride: int) -> tuple[Int64, Bool]:
    """Where a text is cut, its begin and end included, at most `stride` apart; and whether there a sentence ends."""
    total = len(units)
    at_word = np.flatnonzero(units)
    at_sentence = at_word[breaks[at_word - 1]] if len(at_word) else at_word
    cuts, sentence = [0], [True]
    while total - cuts[-1] > stride:
        reach = cuts[-1] + stride
        cut, ends = reach, False
        for places, lowest in ((at_sentence, cuts[-1] + stride // 2), (at_word, cuts[-1] + 1)):
            found = int(np.searchsorted(places, reach, side="right")) - 1
            if found >= 0 and places[found] >= lowest:
                cut, ends = int(places[found]), places is at_sentence
                break
        cuts.append(cut)
        sentence.append(ends)
    return np.array([*cuts, total], dtype=np.int64), np.array([*sentence, True])


def cut_by_budget(lengths: Int64, order: Int64, budget: int, multiple: int = 1) -> list[Int64]:
    """Cut a list of sequences into runs whose padded size (count x longest) stays within a budget.

    A run holds at least one sequence, even one that exceeds the budget by itself.

    Args:
        lengths: Tokens of each sequence, int64, shape (W,).
        order: Indices of the sequences in the order in which they are taken, int64.
        budget: Padded tokens that a run may have.
        multiple: Lengths are rounded up to a multiple of this, as the padding will be.

    Returns:
        The runs, each an array of indices of sequences, int64; together they are `order`.
    """
    runs, start, longest = [], 0, 0
    padded = -(-lengths // multiple) * multiple
    for i, length in enumerate(padded[order].tolist()):
        longest = max(longest, length)
        if i > start and longest * (i + 1 - start) > budget:
            runs.append(order[start:i])
            start, longest = i, length
    if start < len(order):
        runs.append(order[start:])
    return runs


def make_batches(pieces: Pieces, windows: Windows, cls_id: int, sep_id: int, budget: int) -> Iterator[RaggedBatch]:
    """Make batches of windows of about equal length, longest first.

    Args:
        pieces: Pieces of all texts.
        windows: From `make_windows`, over the same pieces.
        cls_id: Id of [CLS], with which every sequence begins.
        sep_id: Id of [SEP], with which every sequence ends.
        budget: Tokens that a batch may have when padded to its longest sequence.

    Yields:
        The batches.
    """
    lengths = windows.last - windows.first + 2
    order = np.argsort(-lengths, kind="stable")
    # One more than there are, which stands where a special token comes.
    ids_of, cases_of = np.append(pieces.ids, np.int32(0)), np.append(pieces.cases, np.uint8(0))
    for run in cut_by_budget(lengths, order, budget):
        size = lengths[run]
        offsets = np.concatenate(([0], np.cumsum(size)))
        # Position of each token in its window's pieces; -1 is [CLS], the last is [SEP].
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1] + 1, size)
        source = np.repeat(windows.first[run], size) + within
        is_cls, is_sep = within < 0, within == np.repeat(size - 2, size)
        source[is_cls | is_sep] = -1
        ids, cases = ids_of[source], cases_of[source]
        ids[is_cls], ids[is_sep] = cls_id, sep_id
        yield RaggedBatch(ids, cases, offsets, run)


def owned(batch: RaggedBatch, windows: Windows) -> tuple[Int64, Int64]:
    """Map a batch's tokens back to pieces: for each piece that one of its windows owns, the token that stands for it.

    Args:
        batch: From `make_batches`.
        windows: The windows that the batch was made of; its `windows` are indices into them.

    Returns:
        Positions of these tokens in the flat batch, and the piece of each, both int64, shape (owned,).
    """
    run = batch.windows
    counts = windows.own_last[run] - windows.own_first[run]
    piece = ranges(windows.own_first[run], counts)
    token = np.repeat(batch.offsets[:-1] + 1 - windows.first[run], counts) + piece
    return token, piece
