"""What training minimises: cross-entropy on gold labels, and KL to a teacher (Hinton et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.factory.examples import IGNORE, RATHER_NEGATIVE, Batch, allowed_tags
from models.runtime.labels import ENTITY_SLICE, JOIN_SLICE, UPOS_SLICE
from models.runtime.viterbi import START, impossible

_ALLOWED = allowed_tags()
_IMPOSSIBLE = torch.from_numpy(impossible())
# The log weight of what cannot be: finite, so that its gradients are.
NEVER = -1e4


@dataclass(frozen=True, slots=True)
class TaskWeights:
    """Weight of each task's loss in the sum."""

    entities: float = 1.0
    upos: float = 0.5
    joins: float = 0.2
    sentiment: float = 0.5


def entity_loss(logits: Tensor, codes: Tensor) -> Tensor:
    """Compute the mean of -log p(any tag that the code allows) over tokens, each on its own.

    Args:
        logits: Of the entity tags, float, shape (N, 9).
        codes: Entity codes, int64, shape (N,); tokens with IGNORE are skipped.

    Returns:
        A scalar; 0 if every token is skipped.
    """
    known = codes != IGNORE
    if not known.any():
        return logits.sum() * 0.0
    scores = logits[known].float()
    allowed = scores.masked_fill(~_ALLOWED.to(logits.device)[codes[known]], float("-inf"))
    return (scores.logsumexp(-1) - allowed.logsumexp(-1)).mean()


def path_loss(logits: Tensor, codes: Tensor, units: Tensor, transitions: Tensor) -> Tensor:
    """Compute -log p(any path of tags that the codes allow) of each text under a linear-chain CRF (Lafferty et al., 2001).

    A text that no path fits adds nothing to the sum. This happens where an entity begins inside a run of Latin letters: the unit
    takes the tag of the run's first character, so that the entity's next unit continues what did not begin.

    Args:
        logits: Of the entity tags, float, shape (B, S, 9).
        codes: Entity codes, int64, shape (B, S); IGNORE where every tag will do.
        units: Where a token begins a unit, bool, shape (B, S); paths run over these tokens alone.
        transitions: Weights of steps from tag to tag, the last row from the beginning, shape (10, 9); see
            `models.runtime.viterbi`.

    Returns:
        The sum over the texts with a known tag, divided by the number of their units, a scalar; 0 if there are no such texts.
    """
    texts = ((codes != IGNORE) & units).any(dim=1)
    if not texts.any():
        return logits.sum() * 0.0 + transitions.sum() * 0.0
    logits, codes, units = logits[texts], codes[texts], units[texts]
    lengths = units.sum(dim=1)
    order = torch.argsort((~units).to(torch.int8), dim=1, stable=True)[:, : int(lengths.max())]
    scores = torch.take_along_dim(logits.float(), order[:, :, None], dim=1)
    allowed = torch.take_along_dim(codes, order, dim=1)
    forbidden = ~_ALLOWED.to(logits.device)[allowed.clamp(min=0)] & (allowed != IGNORE)[:, :, None]
    # Both sums over paths at once: of all, and of those that are allowed.
    both = torch.cat([scores, scores.masked_fill(forbidden, NEVER)])
    steps = transitions.float().masked_fill(_IMPOSSIBLE.to(logits.device), NEVER)
    after = torch.arange(1, both.shape[1], device=logits.device)[None, :] >= torch.cat([lengths, lengths])[:, None]
    stay = torch.full_like(steps[:START], NEVER).fill_diagonal_(0.0)
    moves = torch.where(after[:, :, None, None], stay, steps[:START] + both[:, 1:, None, :])
    ends = both[:, 0] + steps[START]
    if moves.shape[1]:
        ends = (ends[:, :, None] + _all_in_one(moves)).logsumexp(dim=1)
    every, right = ends.logsumexp(dim=1).chunk(2)
    fits = right > every + NEVER / 2
    return torch.where(fits, every - right, 0.0).sum() / lengths.sum()


def _all_in_one(moves: Tensor) -> Tensor:
    """The log weights [B, K, K] of all paths through `moves` [B, S, K, K], joined two by two: few large steps on any device."""
    while (count := moves.shape[1]) > 1:
        pairs = count // 2 * 2
        joined = (moves[:, 0:pairs:2, :, :, None] + moves[:, 1:pairs:2, None, :, :]).logsumexp(dim=3)
        moves = torch.cat([joined, moves[:, pairs:]], dim=1)
    return moves[:, 0]


def known_loss(logits: Tensor, codes: Tensor) -> Tensor:
    """Compute the mean cross-entropy over the codes that are known.

    Args:
        logits: Float, shape (N, K).
        codes: Classes, int64, shape (N,); IGNORE is skipped.

    Returns:
        A scalar; 0 if no code is known.
    """
    if not (codes != IGNORE).any():
        return logits.sum() * 0.0
    return F.cross_entropy(logits.float(), codes, ignore_index=IGNORE)


def sentiment_loss(logits: Tensor, codes: Tensor) -> Tensor:
    """Compute the mean cross-entropy of sentiment, which also learns from labels that know no neutral.

    For a text that is rather negative or rather positive it is -log of that class's share of the two, neutral left out.

    Args:
        logits: Sentiment logits, float, shape (B, 3).
        codes: Sentiment codes, int64, shape (B,); IGNORE is skipped.

    Returns:
        A scalar; 0 if no code is known.
    """
    known = codes != IGNORE
    if not known.any():
        return logits.sum() * 0.0
    scores, gold = logits[known].float(), codes[known]
    rather = gold >= RATHER_NEGATIVE
    # Out of the question is neutral, which is between the two.
    neutral = torch.arange(scores.shape[1], device=scores.device) == 1
    scores = scores.masked_fill(rather[:, None] & neutral, float("-inf"))
    return F.cross_entropy(scores, torch.where(rather, 2 * (gold - RATHER_NEGATIVE), gold))


def gold_loss(tokens: Tensor, sentiment: Tensor, batch: Batch, weights: TaskWeights) -> Tensor:
    """Compute the weighted sum of the losses of all tasks on gold labels.

    Args:
        tokens: Token logits, shape (B, S, NUM_TOKEN_OUTPUTS).
        sentiment: Sentiment logits, shape (B, 3).
        batch: Gold labels.
        weights: Weight of each task.

    Returns:
        A scalar.
    """
    return (
        weights.entities * entity_loss(tokens[..., ENTITY_SLICE].flatten(0, 1), batch.tags.flatten())
        + weights.upos * known_loss(tokens[..., UPOS_SLICE].flatten(0, 1), batch.upos.flatten())
        + weights.joins * known_loss(tokens[..., JOIN_SLICE].flatten(0, 1), batch.joins.flatten())
        + weights.sentiment * sentiment_loss(sentiment, batch.sentiment)
    )


def soft(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Compute T^2 * KL(teacher / T || student / T) of every row (Hinton et al., 2015).

    Args:
        student: Logits, shape (N, K).
        teacher: Logits, shape (N, K).
        temperature: T; the higher, the more the less likely classes count.

    Returns:
        Float32, shape (N,).
    """
    target = F.softmax(teacher.float() / temperature, dim=-1)
    loss = F.kl_div(F.log_softmax(student.float() / temperature, dim=-1), target, reduction="none")
    return temperature**2 * torch.sum(loss, dim=-1)
