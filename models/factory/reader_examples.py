"""Questions and passages as examples that the training loop knows, and the loss of a reader.

A reader's examples are `Examples`: a text is a window of a pair, `tags` say where the answer begins (1), ends (2) or both
(3), `units` which tokens may begin or end one, `sentiment` whether the window holds the answer. Where it does not, [CLS] has
both ends.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.factory.examples import Batch, Examples
from models.factory.reader_corpora import Question
from models.runtime.batches import ranges
from models.runtime.pairs import pair_windows
from models.runtime.tokenizer import PieceTokenizer

BEGIN, END = 1, 2


def encode_questions(questions: Sequence[Question], tokenizer: PieceTokenizer, window: int) -> tuple[Examples, list[int]]:
    """Lay questions and their passages into windows.

    Args:
        questions: The questions; of several answers the first is learnt.
        tokenizer: The model's.
        window: Tokens of the longest sequence, specials included.

    Returns:
        The windows, and for each the number of its question. Questions whose answer is in no window whole are left out.
    """
    windows = pair_windows([one.question for one in questions], [one.context for one in questions], tokenizer, window)
    total = len(windows.ids)
    tags, holds = np.zeros(total, np.int8), np.zeros(len(windows.pair), np.int8)
    passages, token = windows.passages, windows.first_token
    for number, pair in enumerate(windows.pair):
        question, count = questions[pair], windows.count[number]
        if question.answers and count:
            mine = slice(passages.offsets[pair] + windows.first[number], None)
            starts, ends = passages.starts[mine][:count], passages.ends[mine][:count]
            begin, end = question.answers[0]
            at = np.flatnonzero((ends > begin) & (starts < end))
            if len(at) and starts[at[0]] <= begin and ends[at[-1]] >= end:
                tags[token[number] + at[0]] |= BEGIN
                tags[token[number] + at[-1]] |= END
                holds[number] = 1
        if not holds[number]:
            tags[windows.offsets[number]] = BEGIN | END
    answered = {int(pair) for pair, held in zip(windows.pair, holds, strict=True) if held}
    kept = np.array([not questions[pair].answers or int(pair) in answered for pair in windows.pair], bool)
    nothing = np.full(total, -100, np.int8)
    units = np.zeros(total, bool)
    units[ranges(token, windows.count)] = True
    units[windows.offsets[:-1]] = True
    whole = Examples(windows.ids, windows.cases, tags, nothing, nothing, units, holds, windows.offsets)
    chosen = np.flatnonzero(kept)
    return whole.take(chosen), windows.pair[chosen].tolist()


def ends_of(batch: Batch, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Split a reader's token logits.

    Args:
        batch: The batch.
        logits: Shape (B, S, 2).

    Returns:
        Logits of beginning and of end, float32, shape (B, S) each; very low where no answer can be.
    """
    low = torch.finfo(torch.float32).min / 4
    start, end = logits.float().unbind(-1)
    return start.masked_fill(~batch.units, low), end.masked_fill(~batch.units, low)


def reader_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Compute the cross-entropy of both ends and of whether the window answers.

    Args:
        model: A reader.
        batch: Windows of pairs.

    Returns:
        The mean over the windows, a scalar.
    """
    return gold_answer_loss(batch, *model(batch.ids, batch.cases, batch.mask))


def gold_answer_loss(batch: Batch, tokens: Tensor, answerable: Tensor) -> Tensor:
    """Compute the cross-entropy of a reader's logits.

    Args:
        batch: Windows of pairs.
        tokens: Logits of both ends, shape (B, S, 2).
        answerable: Logits of whether the window answers, shape (B, 2).

    Returns:
        The mean over the windows, a scalar.
    """
    start, end = ends_of(batch, tokens)
    spans = F.cross_entropy(start, (batch.tags & BEGIN).argmax(1)) + F.cross_entropy(end, (batch.tags & END).argmax(1))
    return spans / 2 + 0.5 * F.cross_entropy(answerable.float(), batch.sentiment)
