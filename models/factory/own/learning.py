"""Learning a user's labels without forgetting the rest: gold where there is some, the model's own former answers elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.factory.devices import device
from models.factory.examples import IGNORE, Batch, Examples, draw
from models.factory.loop import Schedule, fit
from models.factory.losses import known_loss, soft
from models.runtime.encoder import Encoder
from models.runtime.labels import LabelSet

# Few texts are read in small batches, so that there are enough steps to learn in; and read often.
FEW_TOKENS, SMALL_BATCH, LARGE_BATCH = 60_000, 512, 2_048
LEAST_STEPS, LEAST_EPOCHS, MOST_EPOCHS = 400, 4, 40
DROPOUT, SMOOTHING = 0.1, 0.15
SCHEDULE = Schedule(learning_rate=1e-4, warmup=0.1, head_rate=5.0)


@dataclass(frozen=True, slots=True)
class OwnLoss:
    """Cross-entropy on a user's labels; for what no label says, KL to the answers that the model gave before (Li & Hoiem, 2016).

    Attributes:
        start: The model as it was.
        before: What it told apart.
        after: What the learning one tells apart.
        entities: Whether entities are learned from labels.
        classes: Whether classes are.
    """

    start: Encoder
    before: LabelSet
    after: LabelSet
    entities: bool
    classes: bool

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """Compute the loss of a batch, a scalar.

        Args:
            model: Learns.
            batch: Texts with labels.
        """
        tokens, classes = model(batch.ids, batch.cases, batch.mask)
        with torch.no_grad():
            old_tokens, old_classes = self.start(batch.ids, batch.cases, batch.mask)
        mine, theirs = tokens[batch.units], old_tokens[batch.units]
        before, after = self.before, self.after
        if self.entities:
            loss = known_loss(mine[:, after.entity_slice], batch.tags[batch.units])
        else:
            loss = soft(mine[:, after.entity_slice], theirs[:, before.entity_slice], 1.0).mean()
        loss = loss + (_class_loss(classes, batch.sentiment) if self.classes else soft(classes, old_classes, 1.0).mean())
        if after.words:
            loss = loss + soft(mine[:, after.upos_slice], theirs[:, before.upos_slice], 1.0).mean()
            loss = loss + soft(mine[:, after.join_slice], theirs[:, before.join_slice], 1.0).mean()
        return loss


def _class_loss(classes: Tensor, gold: Tensor) -> Tensor:
    """Cross-entropy with label smoothing (Szegedy et al., 2016): few texts that are read often make a model too sure."""
    if not (gold != IGNORE).any():
        return classes.sum() * 0.0
    return F.cross_entropy(classes.float(), gold, ignore_index=IGNORE, label_smoothing=SMOOTHING)


def epochs_of(tokens: int) -> float:
    """Return how often texts are read: few often, so that the model has steps enough to learn in.

    Args:
        tokens: Of all texts that are learned from.
    """
    budget = SMALL_BATCH if tokens < FEW_TOKENS else LARGE_BATCH
    return float(np.clip(LEAST_STEPS * budget / max(tokens, 1), LEAST_EPOCHS, MOST_EPOCHS))


def learn(model: Encoder, examples: Examples, loss: OwnLoss, epochs: float, seed: int, say: Callable[[str], None]) -> None:
    """Train a model on labelled texts, in place.

    Args:
        model: Learns; comes back on the CPU and in evaluation mode.
        examples: The texts.
        loss: What is minimised.
        epochs: How often each text is read.
        seed: Fixes order and dropout.
        say: Gets lines of progress.
    """
    budget = SMALL_BATCH if len(examples.ids) < FEW_TOKENS else LARGE_BATCH
    runs = draw(examples, np.full(len(examples), epochs), budget, seed)
    model.dropout = DROPOUT
    where = device()
    loss.start.to(where)
    with tempfile.TemporaryDirectory(prefix="textmill-train-") as folder:
        fit(model, examples, runs, loss, SCHEDULE, Path(folder) / "checkpoint.pt", seed, say)
    loss.start.to("cpu")
