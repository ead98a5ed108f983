"""Smaller readers: they learn the answers of the taught one, and are pruned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from models.factory.devices import device
from models.factory.distill import Learner
from models.factory.examples import Batch
from models.factory.files import read_json, write_json
from models.factory.latency import Costs, measure_costs
from models.factory.loop import Loss
from models.factory.losses import soft
from models.factory.prune import Aim, Keep, importance, keep_layers, shrink
from models.factory.reader_examples import ends_of, gold_answer_loss
from models.factory.reader_learning import QuestionMixture, learned
from models.factory.reader_recipe import ReaderDistil, ReaderLearning, ReaderPrune
from models.factory.run_context import key_of
from models.factory.teacher_logits import LiveTeacher, TeacherRun
from models.runtime.encoder import Encoder

# Batches that heads and neurons are scored on.
SALIENCY_BATCHES = 24


def answer_distil_loss(answers: TeacherRun, settings: ReaderLearning) -> Loss:
    """Build the loss of a reader that learns from another: its distributions of both ends and of answerable, and gold answers.

        L = alpha * T^2 KL(taught || student) + (1 - alpha) * CE(gold) + hidden * (1 - cos(states))

    Args:
        answers: Gives the taught reader's answers to a batch.
        settings: The factors.

    Returns:
        Gives the loss of a `Learner` on a batch, a scalar.
    """
    a, t = settings.alpha, settings.temperature

    def loss(learner: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(learner, Learner)
        last = learner.student.encode(batch.ids, batch.cases, batch.mask)[-1]
        tokens, answerable = learner.student.heads(last, batch.mask)
        theirs = answers.of(batch)
        told = theirs.tokens.new_zeros(tokens.shape)
        told[batch.units] = theirs.tokens
        ends = [soft(mine, their, t).mean() for mine, their in zip(ends_of(batch, tokens), ends_of(batch, told), strict=True)]
        total = a * (sum(ends) / 2 + 0.5 * soft(answerable, theirs.sentiment, t).mean())
        total = total + (1 - a) * gold_answer_loss(batch, tokens, answerable)
        if settings.hidden:
            alike = F.cosine_similarity(learner.project(last[batch.units]).float(), theirs.hidden)
            total = total + settings.hidden * (1 - alike.mean())
        return total

    return loss


@dataclass(frozen=True)
class ReaderStudents:
    """The readers that learn from a taught one, in their order.

    Attributes:
        taught: The reader that they learn from.
        key: Names it, and what it was taught.
        mixture: What they learn from.
        work: Folder of checkpoints and weights.
        say: Gets lines of progress.
    """

    taught: Encoder
    key: str
    mixture: QuestionMixture
    work: Path
    say: Callable[[str], None]

    def distilled(self, settings: ReaderDistil, start: Encoder) -> Encoder:
        """Train a smaller reader from its start.

        Args:
            settings: Its layers, losses and length.
            start: What it begins as.

        Returns:
            The reader.
        """
        student = keep_layers(start, settings.layers or range(len(start.config.layers)), start.config.cases)
        self.say(f"distil: {len(student.layers)} layers")
        return self._learned(student, settings, 1.0, f"{key_of(self.key, settings.model_dump())}-distil")

    def pruned(self, settings: ReaderPrune, start: Encoder) -> Iterator[Encoder]:
        """Prune a reader in rounds.

        Args:
            settings: The aim, the rounds, losses and length.
            start: The reader that is pruned.

        Yields:
            The reader after each round; the next is made of it.

        Raises:
            FactoryError: A smaller layer could not be measured as faster, or heads are to go that share a position bias.
        """
        first = start.config.layers
        key = key_of(self.key, settings.model_dump(), [asdict(shape) for shape in first])
        costs = self._costs(start, key) if settings.speed is not None else None
        encoder = start
        for number in range(1, settings.rounds + 1):
            mark = f"{key}-prune{number}"
            aim = Aim(settings, costs, first, number / settings.rounds)
            encoder = self._shrunk(encoder, settings, aim, self.work / f"{mark}-kept.json")
            shapes = " ".join(f"{s.heads}x{s.ffn}" for s in encoder.config.layers)
            self.say(f"prune: round {number}/{settings.rounds}: {shapes} (heads x feed-forward)")
            encoder = self._learned(encoder, settings, settings.round_share(number), mark)
            yield encoder

    def _loss(self, settings: ReaderLearning) -> Loss:
        return answer_distil_loss(LiveTeacher(self.taught, None, device()), settings)

    def _learned(self, student: Encoder, settings: ReaderLearning, share: float, mark: str) -> Encoder:
        learner = Learner(student, self.taught.config.hidden)
        runs = self.mixture.runs(settings, share)
        path = self.work / f"{mark}.safetensors"
        return learned(student, learner, self.mixture, runs, self._loss(settings), settings, path, self.say)

    def _shrunk(self, encoder: Encoder, settings: ReaderPrune, aim: Aim, path: Path) -> Encoder:
        """What is kept is kept on disk too, so that a run that was killed goes on with the same shapes."""
        kept = read_json(path)
        if kept is None:
            runs = self.mixture.runs(settings)[:SALIENCY_BATCHES]
            # The projection to the other's states is fresh here and would only add noise.
            loss = self._loss(settings.model_copy(update={"hidden": 0.0}))
            learner = Learner(encoder, self.taught.config.hidden)
            scores = importance(learner, encoder, self.mixture.examples, runs, loss)
            kept = [[keep.heads.tolist(), keep.neurons.tolist()] for keep in aim.choose(scores)]
            write_json(path, kept)
        return shrink(encoder, [Keep(np.array(heads, np.int64), np.array(neurons, np.int64)) for heads, neurons in kept])

    def _costs(self, start: Encoder, key: str) -> Costs:
        """Costs of layers on this CPU; measured once and kept, so that a resumed run chooses the same shapes."""
        path = self.work / f"{key}-costs.json"
        kept = read_json(path)
        if kept is None:
            kept = asdict(measure_costs(start.config))
            write_json(path, kept)
        self.say(f"prune: costs on this CPU {kept}")
        return Costs(**kept)
