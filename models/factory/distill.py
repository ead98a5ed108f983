"""A student's loss: the teacher's answers, the gold labels and the teacher's last hidden states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.factory.examples import Batch
from models.factory.losses import TaskWeights, gold_loss, known_loss, path_loss, soft
from models.factory.recipe import Distil, Taught, Teacher
from models.factory.silver import NUM_SILVER, Codes
from models.factory.teacher_logits import TeacherRun
from models.runtime.encoder import Encoder, TokenModel
from models.runtime.labels import ENTITY_SLICE, JOIN_SLICE, NUM_CASES, UPOS_SLICE


class Learner(nn.Module):
    """A student, and what it needs to learn; only the student is shipped.

    It has a projection that compares its last states with the teacher's, and a head for LAC's labels.

    Args:
        student: The model.
        teacher_hidden: Width of the teacher's states.
    """

    def __init__(self, student: TokenModel, teacher_hidden: int) -> None:
        super().__init__()
        self.student = student
        self.project = nn.Linear(student.hidden, teacher_hidden)
        self.silver = nn.Linear(student.hidden, NUM_SILVER)


class Together(nn.Module):
    """Learners that learn in one run, from the same batches.

    Args:
        learners: The learners.
    """

    def __init__(self, learners: Sequence[Learner]) -> None:
        super().__init__()
        self.learners = nn.ModuleList(learners)


def together_loss(loss: Callable[[nn.Module, Batch], Tensor]) -> Callable[[nn.Module, Batch], Tensor]:
    """Sum the losses of all that learn together: the gradients of each are its own.

    Args:
        loss: Gives the loss of one learner for a batch.

    Returns:
        Gives the loss of `Together`.
    """

    def total(together: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(together, Together)
        return torch.stack([loss(learner, batch) for learner in together.learners]).sum()

    return total


def hide_pieces(ids: Tensor, mask: Tensor, share: float, unseen: int) -> Tensor:
    """Hide a random share of the pieces; special ones, up to the id that stands for hidden ones, stay.

    Args:
        ids: Token ids, shape (B, S).
        mask: Where a token is, shape (B, S).
        share: 0 to 1.
        unseen: Id that stands for hidden pieces.

    Returns:
        The ids, shape (B, S).
    """
    if not share:
        return ids
    return torch.where((torch.rand(ids.shape, device=ids.device) < share) & mask & (ids > unseen), unseen, ids)


def task_weights(settings: Taught) -> TaskWeights:
    """Return the weights of the tasks that a recipe sets.

    Args:
        settings: Of the run.
    """
    return TaskWeights(sentiment=settings.sentiment, joins=settings.joins)


def _paths(settings: Taught) -> Callable[[Learner, Tensor, Batch], Tensor | float]:
    """The loss over whole paths, of token logits [B, S, K]; 0 where the recipe wants none."""

    def loss(learner: Learner, tokens: Tensor, batch: Batch) -> Tensor | float:
        if not settings.path:
            return 0.0
        assert isinstance(learner.student, Encoder)
        entities = tokens[..., ENTITY_SLICE]
        return settings.path * path_loss(entities, batch.tags, batch.units, learner.student.transitions)

    return loss


def gold_loss_of(
    settings: Taught, unseen: int, silver: Codes | None = None, weight: float = 0.0
) -> Callable[[nn.Module, Batch], Tensor]:
    """Make the loss of a learner that has no teacher: gold labels, and LAC's.

    Args:
        settings: Of the run.
        unseen: Id that stands for hidden pieces.
        silver: LAC's codes beside the pool's ids, int8, shape (N,).
        weight: Of LAC's labels.

    Returns:
        Gives the loss of a learner for a batch, a scalar.
    """
    weights, paths = task_weights(settings), _paths(settings)

    def loss(learner: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(learner, Learner)
        shown = hide_pieces(batch.ids, batch.mask, settings.hidden_pieces, unseen)
        last = learner.student.encode(shown, batch.cases, batch.mask)[-1]
        tokens, sentiment = learner.student.heads(last, batch.mask)
        total = gold_loss(tokens, sentiment, batch, weights) + paths(learner, tokens, batch)
        if silver is not None:
            codes = torch.from_numpy(silver[batch.flat].astype(np.int64)).to(last.device)
            total = total + weight * known_loss(learner.silver(last[batch.mask]), codes)
        return total

    return loss


def teacher_loss(settings: Teacher, unseen: int) -> Callable[[nn.Module, Batch], Tensor]:
    """Make the loss of a teacher: a share `hidden_silver` of the texts is shown without the features that only it sees.

    Args:
        settings: Of the run.
        unseen: Id that stands for hidden pieces.

    Returns:
        Gives the loss of a learner for a batch, a scalar.
    """
    gold = gold_loss_of(settings, unseen)

    def loss(learner: nn.Module, batch: Batch) -> Tensor:
        bare = torch.rand(len(batch.docs), device=batch.ids.device) < settings.hidden_silver
        return gold(learner, replace(batch, cases=batch.cases.masked_fill(bare[:, None] & (batch.cases >= NUM_CASES), 0)))

    return loss


def distil_loss(answers: TeacherRun, settings: Distil, unseen: int) -> Callable[[nn.Module, Batch], Tensor]:
    """L = a T^2 KL(teacher || student) + (1 - a) CE(gold) for every task, + beta (1 - cos(states)).

    Token losses are taken on the first piece of each unit. Units that the teacher may hold for an entity weigh
    `non_o` times in the entities' KL, because nine of ten units are none. Pieces that are hidden (`unseen`) are hidden from
    the student alone.

    Args:
        answers: What the teacher says.
        settings: Of the run.
        unseen: Id that stands for hidden pieces.

    Returns:
        Gives the loss of a learner for a batch, a scalar.
    """
    weights, paths = task_weights(settings), _paths(settings)
    a, t = settings.alpha, settings.temperature

    def loss(learner: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(learner, Learner)
        student = learner.student
        shown = hide_pieces(batch.ids, batch.mask, settings.hidden_pieces, unseen)
        last = student.encode(shown, batch.cases, batch.mask)[-1]
        tokens, sentiment = student.heads(last, batch.mask)
        theirs = answers.of(batch)
        mine = tokens[batch.units].float()
        entity = theirs.tokens[:, ENTITY_SLICE]
        weight = torch.where(entity.softmax(-1)[:, 0] < 0.9, settings.non_o, 1.0)
        total = weights.entities * (soft(mine[:, ENTITY_SLICE], entity, t) * weight).sum() / weight.sum()
        total = total + weights.upos * soft(mine[:, UPOS_SLICE], theirs.tokens[:, UPOS_SLICE], t).mean()
        total = total + weights.joins * soft(mine[:, JOIN_SLICE], theirs.tokens[:, JOIN_SLICE], t).mean()
        total = total + weights.sentiment * soft(sentiment, theirs.sentiment, t).mean()
        total = a * total + (1 - a) * gold_loss(tokens, sentiment, batch, weights) + paths(learner, tokens, batch)
        if settings.hidden:
            alike = F.cosine_similarity(learner.project(last[batch.units]).float(), theirs.hidden)
            total = total + settings.hidden * (1 - alike.mean())
        return total

    return loss
