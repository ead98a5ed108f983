"""The losses of students and teachers: gold labels, silver labels, and the teacher's answers and last hidden states."""

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
    """A student with the layers that only its training needs; only the student is shipped.

    Beside the student there are `project`, which maps its last states to the teacher's width, so that they can be compared, and
    `silver`, a head for LAC's labels.

    Args:
        student: Model that is trained.
        teacher_hidden: Width of the teacher's hidden states; any number where no teacher's states are learned from.
    """

    def __init__(self, student: TokenModel, teacher_hidden: int) -> None:
        super().__init__()
        self.student = student
        self.project = nn.Linear(student.hidden, teacher_hidden)
        self.silver = nn.Linear(student.hidden, NUM_SILVER)


class Together(nn.Module):
    """Learners that are trained in one run, on the same batches.

    Args:
        learners: Learners with weights of their own; kept in `learners`.
    """

    def __init__(self, learners: Sequence[Learner]) -> None:
        super().__init__()
        self.learners = nn.ModuleList(learners)


def together_loss(loss: Callable[[nn.Module, Batch], Tensor]) -> Callable[[nn.Module, Batch], Tensor]:
    """Turn the loss of one learner into that of learners that are trained together, which is the sum of theirs.

    They share no weights, so each gets the gradients of its own loss alone.

    Args:
        loss: Gives the loss of one learner on a batch, a scalar.

    Returns:
        Gives the loss of a `Together` on a batch, a scalar.
    """

    def total(together: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(together, Together)
        return torch.stack([loss(learner, batch) for learner in together.learners]).sum()

    return total


def hide_pieces(ids: Tensor, mask: Tensor, share: float, unseen: int) -> Tensor:
    """Replace a random share of the pieces by one that stands for hidden pieces, as masking in BERT does (Devlin et al., 2019).

    Special pieces, which are those with ids up to `unseen`, are never hidden.

    Args:
        ids: Token ids, int64, shape (B, S).
        mask: Where a token is, bool, shape (B, S).
        share: Probability, 0 to 1, with which each piece is hidden.
        unseen: Id of the piece that stands for hidden ones, `[MASK]`.

    Returns:
        The ids with pieces hidden, int64, shape (B, S); `ids` itself if `share` is 0.
    """
    if not share:
        return ids
    return torch.where((torch.rand(ids.shape, device=ids.device) < share) & mask & (ids > unseen), unseen, ids)


def task_weights(settings: Taught) -> TaskWeights:
    """Return the weights of the tasks in the loss, as a recipe sets them.

    Args:
        settings: Settings of the training run.
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
    """Build the loss of a learner that has no teacher: gold labels, gold paths of entity tags, and LAC's labels.

    Args:
        settings: Weights of the tasks, and the share of the pieces that is hidden.
        unseen: Id of the piece that stands for hidden ones.
        silver: LAC's codes of all tokens that batches are drawn from, parallel to the examples' ids, int8, shape (N,); None
            leaves LAC's labels out.
        weight: Weight of LAC's labels in the sum.

    Returns:
        Gives the loss of a `Learner` on a batch, a scalar.
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
    """Build the loss of a teacher: gold labels, with LAC's features hidden from it in some of the texts.

    Only a teacher gets these features. In a random share `hidden_silver` of the texts it has to do without, so that students,
    which never see them, start well from its weights.

    Args:
        settings: Weights of the tasks, and the shares of pieces and features that are hidden.
        unseen: Id of the piece that stands for hidden ones.

    Returns:
        Gives the loss of a `Learner` on a batch, a scalar.
    """
    gold = gold_loss_of(settings, unseen)

    def loss(learner: nn.Module, batch: Batch) -> Tensor:
        bare = torch.rand(len(batch.docs), device=batch.ids.device) < settings.hidden_silver
        return gold(learner, replace(batch, cases=batch.cases.masked_fill(bare[:, None] & (batch.cases >= NUM_CASES), 0)))

    return loss


def distil_loss(answers: TeacherRun, settings: Distil, unseen: int) -> Callable[[nn.Module, Batch], Tensor]:
    """Build the loss of a student: the teacher's answers and hidden states, gold labels, and gold paths of entity tags.

        L = alpha * T^2 KL(teacher || student) + (1 - alpha) * CE(gold) + path * CRF(gold) + hidden * (1 - cos(states))

    where KL at temperature T (Hinton et al., 2015) and CE are weighted sums over the tasks, and the other factors are settings of
    the same names. Losses of tokens are taken on the first piece of each unit. In the KL of the entity tags, units to which the
    teacher gives O a probability below 0.9 weigh `non_o` times as much, because nine of ten units are no entities. Hidden pieces
    are hidden from the student alone.

    Args:
        answers: Gives the teacher's answers to a batch.
        settings: Factors, temperature and weights of the tasks, and the share of the pieces that is hidden.
        unseen: Id of the piece that stands for hidden ones.

    Returns:
        Gives the loss of a `Learner` on a batch, a scalar.
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
