"""Questions and passages as sequences of pieces: [CLS] question [SEP] passage [SEP], long passages in windows that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.runtime.batches import RaggedBatch, cut_by_budget, ranges
from models.runtime.labels import NUM_CASES
from models.runtime.tokenizer import Bool, Int32, Int64, Pieces, PieceTokenizer, UInt8

# Pieces of a question that are read, but never more than a quarter of the window; what is behind them is not. And the share of
# the window's room that two windows of a passage have in common: an answer that is not longer lies whole in one of them.
QUESTION_PIECES = 64
OVERLAP_SHARE = 4


@dataclass(frozen=True, slots=True)
class PairWindows:
    """Sequences of questions and passages, one behind another.

    Attributes:
        ids: Token ids, int32, shape (tokens,).
        cases: Case features; those of a question's tokens are NUM_CASES more, uint8, shape (tokens,).
        first: The first piece of its passage that a sequence has, int64, shape (sequences,).
        count: How many pieces it has from there; they stand before its last token, int64, shape (sequences,).
        offsets: Where each sequence begins, and the end of the last, int64, shape (sequences + 1,).
        pair: Which pair a sequence is of, ascending, int64, shape (sequences,).
        passages: The pieces of all passages.
    """

    ids: Int32
    cases: UInt8
    first: Int64
    count: Int64
    offsets: Int64
    pair: Int64
    passages: Pieces

    @property
    def first_token(self) -> Int64:
        """Which token of all is the first of a sequence's passage, int64, shape (sequences,)."""
        return self.offsets[1:] - 1 - self.count

    def batches(self, budget: int, streams: int = 1) -> list[RaggedBatch]:
        """Cut the sequences into batches of about equal length.

        Args:
            budget: Tokens of a batch, padding included; a single sequence may have more.
            streams: Batches that are computed at a time: a few sequences are cut into so many, so that no stream idles.

        Returns:
            The batches, longest sequences first; `windows` are numbers of sequences.
        """
        lengths = np.diff(self.offsets)
        order = np.argsort(-lengths, kind="stable")
        runs = cut_by_budget(lengths, order, budget)
        if len(runs) < streams:
            budget = -(-int(lengths.sum()) // streams)
            while len(runs := cut_by_budget(lengths, order, budget)) > streams:
                budget += max(1, budget // 16)
        return [self._batch(run, lengths) for run in runs]

    def _batch(self, run: Int64, lengths: Int64) -> RaggedBatch:
        at = ranges(self.offsets[run], lengths[run])
        offsets = np.concatenate(([0], np.cumsum(lengths[run])))
        return RaggedBatch(self.ids[at], self.cases[at], offsets, run)


def pair_windows(questions: Sequence[str], passages: Sequence[str], tokenizer: PieceTokenizer, window: int) -> PairWindows:
    """Tokenize pairs and lay them into windows.

    Args:
        questions: The questions.
        passages: What each is asked of, as many; the same string is tokenized once.
        tokenizer: The model's.
        window: Tokens of the longest sequence, specials included.

    Returns:
        At least one sequence for each pair, also where question or passage has no piece.
    """
    asked = tokenizer.encode(questions)
    distinct = list(dict.fromkeys(passages))
    number = {text: i for i, text in enumerate(distinct)}
    read = tokenizer.encode(distinct)
    text = np.array([number[passage] for passage in passages], dtype=np.int64)
    asked_pieces = np.minimum(np.diff(asked.offsets), min(QUESTION_PIECES, window // 4))
    cuts = [_cuts(pieces, window - 3 - kept) for pieces, kept in zip(np.diff(read.offsets)[text], asked_pieces, strict=True)]
    pair = np.repeat(np.arange(len(cuts)), [len(one) for one in cuts])
    first, last = np.array([cut for one in cuts for cut in one], dtype=np.int64).reshape(-1, 2).T
    before, count = asked_pieces[pair], last - first
    offsets = np.concatenate(([0], np.cumsum(before + count + 3)))
    ids = np.full(int(offsets[-1]), tokenizer.sep_id, np.int32)
    cases = np.zeros(len(ids), np.uint8)
    ids[offsets[:-1]] = tokenizer.cls_id
    to, source = ranges(offsets[:-1] + 1, before), ranges(asked.offsets[pair], before)
    ids[to], cases[to] = asked.ids[source], asked.cases[source] + np.uint8(NUM_CASES)
    to, source = ranges(offsets[:-1] + 2 + before, count), ranges(read.offsets[text[pair]] + first, count)
    ids[to], cases[to] = read.ids[source], read.cases[source]
    return PairWindows(ids, cases, first, count, offsets, pair, _rearranged(read, text))


def _cuts(pieces: int, room: int) -> list[tuple[int, int]]:
    overlap = room // OVERLAP_SHARE
    return [(at, min(at + room, pieces)) for at in range(0, max(1, pieces - overlap), room - overlap)]


def _rearranged(pieces: Pieces, order: Int64) -> Pieces:
    """Pieces of texts, each as often as it is named."""
    counts = np.diff(pieces.offsets)[order]
    at = ranges(pieces.offsets[order], counts)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    return Pieces(pieces.ids[at], pieces.starts[at], pieces.ends[at], pieces.cases[at], pieces.units[at], offsets)


def may_begin(pieces: Pieces) -> Bool:
    """Return which pieces may begin an answer: those that begin a word or mark, bool, shape (pieces,).

    Args:
        pieces: The pieces of passages.
    """
    return pieces.units


def may_end(pieces: Pieces) -> Bool:
    """Return which pieces may end an answer: those that end a word or mark, bool, shape (pieces,).

    Args:
        pieces: The pieces of passages.
    """
    ends = np.append(pieces.units[1:], True)
    ends[pieces.offsets[1:][np.diff(pieces.offsets) > 0] - 1] = True
    return ends
