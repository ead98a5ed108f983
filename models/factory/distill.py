"""A student's loss: the teacher's answers, the gold labels and the teacher's last hidden states."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.factory.examples import Batch
from models.factory.labelling import Answers
from models.factory.losses import TaskWeights, gold_loss, soft
from models.factory.recipe import Distil
from models.runtime.encoder import TokenModel
from models.runtime.labels import ENTITY_SLICE, JOIN_SLICE, UPOS_SLICE


class Learner(nn.Module):
    """A student with the projection that compares its last states with the teacher's; only the student is shipped."""

    def __init__(self, student: TokenModel, teacher_hidden: int) -> None:
        super().__init__()
        self.student = student
        self.project = nn.Linear(student.hidden, teacher_hidden)


def gold_alone(weights: TaskWeights) -> Callable[[nn.Module, Batch], Tensor]:
    """The loss of a learner that has no teacher."""

    def loss(learner: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(learner, Learner)
        tokens, sentiment = learner.student(batch.ids, batch.cases, batch.mask)
        return gold_loss(tokens, sentiment, batch, weights)

    return loss


def distil_loss(answers: Answers | None, settings: Distil) -> Callable[[nn.Module, Batch], Tensor]:
    """L = a T^2 KL(teacher || student) + (1 - a) CE(gold) for every task, + beta (1 - cos(states)).

    Token losses are taken on the first piece of each unit. Units that the teacher may hold for an entity weigh
    `non_o` times in the entities' KL, because nine of ten units are none. Without answers gold alone teaches.
    """
    weights = TaskWeights(sentiment=settings.sentiment, joins=settings.joins)
    if answers is None:
        return gold_alone(weights)
    a, t = settings.alpha, settings.temperature

    def loss(learner: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(learner, Learner)
        student = learner.student
        last = student.encode(batch.ids, batch.cases, batch.mask)[-1]
        tokens, sentiment = student.heads(last, batch.mask)
        unit = batch.units
        unit_flat = unit[batch.mask].numpy()
        where = batch.flat[unit_flat]
        theirs = torch.from_numpy(answers.tokens[where]).float()
        mine = tokens[unit].float()
        entity = theirs[:, ENTITY_SLICE]
        weight = torch.where(entity.softmax(-1)[:, 0] < 0.9, settings.non_o, 1.0)
        total = weights.entities * (soft(mine[:, ENTITY_SLICE], entity, t) * weight).sum() / weight.sum()
        total = total + weights.upos * soft(mine[:, UPOS_SLICE], theirs[:, UPOS_SLICE], t).mean()
        total = total + weights.joins * soft(mine[:, JOIN_SLICE], theirs[:, JOIN_SLICE], t).mean()
        total = total + weights.sentiment * soft(sentiment, torch.from_numpy(answers.sentiment[batch.docs]), t).mean()
        total = a * total + (1 - a) * gold_loss(tokens, sentiment, batch, weights)
        if settings.hidden:
            states = torch.from_numpy(answers.hidden[where]).float()
            total = total + settings.hidden * (1 - F.cosine_similarity(learner.project(last[unit]).float(), states).mean())
        return total

    return loss
