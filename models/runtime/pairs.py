"""Questions and passages as sequences of pieces: [CLS] question [SEP] passage [SEP], long passages in windows that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.runtime.batches import RaggedBatch, cut_by_budget
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
        piece: Which piece of its passage a token is, -1 for all others, int32, shape (tokens,).
        offsets: Where each sequence begins, and the end of the last, int64, shape (sequences + 1,).
        pair: Which pair a sequence is of, ascending, int64, shape (sequences,).
        passages: The pieces of all passages.
    """

    ids: Int32
    cases: UInt8
    piece: Int32
    offsets: Int64
    pair: Int64
    passages: Pieces

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
        at = np.concatenate([np.arange(self.offsets[i], self.offsets[i + 1]) for i in run])
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
    rows: list[tuple[int, Int64, int, int]] = []
    for pair, passage in enumerate(passages):
        first, last = asked.offsets[pair], asked.offsets[pair + 1]
        mine = np.arange(first, min(last, first + min(QUESTION_PIECES, window // 4)))
        begin, end = int(read.offsets[number[passage]]), int(read.offsets[number[passage] + 1])
        rows += [(pair, mine, a, b) for a, b in _cuts(begin, end, window - 3 - len(mine))]
    ids, cases, piece = [], [], []
    special = np.zeros(1, np.uint8)
    cls, sep, nothing = (np.array([value], np.int32) for value in (tokenizer.cls_id, tokenizer.sep_id, -1))
    for pair, mine, a, b in rows:
        within = np.arange(a, b, dtype=np.int32) - np.int32(read.offsets[number[passages[pair]]])
        ids += [cls, asked.ids[mine], sep, read.ids[a:b], sep]
        cases += [special, asked.cases[mine] + np.uint8(NUM_CASES), special, read.cases[a:b], special]
        piece += [nothing, np.full(len(mine) + 1, -1, np.int32), within, nothing]
    lengths = np.array([len(mine) + b - a + 3 for _, mine, a, b in rows], dtype=np.int64)
    pairs = np.array([pair for pair, _, _, _ in rows], dtype=np.int64)
    kept = _rearranged(read, [number[text] for text in passages])
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return PairWindows(_joined(ids), _joined(cases), _joined(piece), offsets, pairs, kept)


def _joined(parts: list[Any]) -> Any:
    return np.concatenate(parts) if parts else np.zeros(0, np.int32)


def _cuts(begin: int, end: int, room: int) -> list[tuple[int, int]]:
    stride = room - room // OVERLAP_SHARE
    cuts = [(at, min(at + room, end)) for at in range(begin, max(begin + 1, end - room // OVERLAP_SHARE), stride)]
    return cuts


def _rearranged(pieces: Pieces, order: list[int]) -> Pieces:
    """Pieces of texts, each as often as it is named."""
    spans = [(pieces.offsets[i], pieces.offsets[i + 1]) for i in order]
    at = np.concatenate([np.arange(a, b) for a, b in spans]) if spans else np.zeros(0, np.int64)
    offsets = np.concatenate(([0], np.cumsum([b - a for a, b in spans]))).astype(np.int64)
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
