"""What a reader learns from, and how: one mixture of questions for the taught reader and for those that learn from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from models.errors import DataMissingError
from models.factory.examples import Examples, concatenate, draw
from models.factory.files import write_whole
from models.factory.loop import Loss, fit
from models.factory.reader_corpora import Question, training_questions, unanswerable
from models.factory.reader_examples import encode_questions
from models.factory.reader_recipe import ReaderFit, ReaderFurther, ReaderLearning, ReaderRecipe
from models.runtime.encoder import Encoder
from models.runtime.tokenizer import PieceTokenizer

Runs = list[npt.NDArray[np.int64]]


@dataclass(frozen=True)
class QuestionMixture:
    """All windows that a reader learns from.

    Attributes:
        examples: The windows.
        share: What each is of its question, float64, shape (D,).
        bounds: Corpus -> its windows.
        often: Corpus -> how often each of its questions is drawn when the mixture is read once.
        seed: Fixes what is drawn.
    """

    examples: Examples
    share: npt.NDArray[np.float64]
    bounds: Mapping[str, slice]
    often: Mapping[str, float]
    seed: int

    @property
    def repeats(self) -> npt.NDArray[np.float64]:
        """How often each window is drawn when the mixture is read once, float64, shape (D,)."""
        repeats = self.share.copy()
        for name, mine in self.bounds.items():
            repeats[mine] *= self.often[name]
        return repeats

    def drawn(self, repeats: Mapping[str, float]) -> QuestionMixture:
        """Draw some corpora more or less often.

        Args:
            repeats: Corpus -> how often each of its questions is drawn; the others stay as they are.

        Returns:
            The mixture.

        Raises:
            DataMissingError: There is no such corpus in it.
        """
        if unknown := sorted(set(repeats) - set(self.bounds)):
            raise DataMissingError(f"no corpus {', '.join(unknown)} in the mixture; there are {', '.join(self.bounds)}")
        return replace(self, often={**self.often, **repeats})

    def runs(self, settings: ReaderFit | ReaderFurther | ReaderLearning, share: float = 1.0) -> Runs:
        """Draw the batches of one training run.

        Args:
            settings: How often the mixture is read, and how large a batch is.
            share: The run's share of that.

        Returns:
            Numbers of each batch's windows.
        """
        return draw(self.examples, self.repeats * settings.epochs * share, settings.budget_tokens, self.seed)


def read_mixture(recipe: ReaderRecipe, data_dir: Path, tokenizer: PieceTokenizer, say: Callable[[str], None]) -> QuestionMixture:
    """Read all corpora of a recipe's language, and of those that it learns from too.

    Args:
        recipe: The recipe.
        data_dir: Folder of the corpora.
        tokenizer: Of the reader.
        say: Gets a line for each corpus.

    Returns:
        The mixture.

    Raises:
        DataMissingError: A corpus is not there.
    """
    parts, shares, bounds, often = [], [], {}, {}
    for name, corpus, questions in training_questions(data_dir, recipe.lang, recipe.also):
        asked: list[Question] = [*questions, *unanswerable(questions, recipe.none_every)]
        examples, of = encode_questions(asked, tokenizer, recipe.window)
        # Of a long passage most windows hold nothing: together they count as one.
        holds = examples.sentiment == 1
        counts = np.bincount(np.array(of)[~holds], minlength=len(asked))
        share = np.where(holds, 1.0, 1.0 / np.maximum(1, counts[of]))
        parts.append(examples)
        shares.append(share)
        end = sum(len(part) for part in parts)
        bounds[name], often[name] = slice(end - len(examples), end), corpus.repeats
        tokens = float((examples.lengths * share).sum()) * corpus.repeats
        say(f"{name}: {len(asked):,} questions, {len(examples):,} windows, {tokens / 1e6:.2f} M tokens drawn")
    return QuestionMixture(concatenate(parts), np.concatenate(shares), bounds, often, recipe.seed)


def learned(
    encoder: Encoder,
    learner: nn.Module,
    mixture: QuestionMixture,
    runs: Runs,
    loss: Loss,
    settings: ReaderFit | ReaderFurther | ReaderLearning,
    path: Path,
    say: Callable[[str], None],
) -> Encoder:
    """Train a reader, or take it from disk if that has been done.

    A run that was killed goes on from its checkpoint, which stands beside `path`.

    Args:
        encoder: The reader; it is changed.
        learner: What `loss` takes: the reader, or what holds it.
        mixture: What it learns from.
        runs: Numbers of the windows of each batch, as from `mixture.runs`.
        loss: What is minimised.
        settings: Rates and dropout.
        path: Where the weights are kept, a name that ends in `.safetensors`.
        say: Gets lines of progress.

    Returns:
        The reader, in evaluation mode.
    """
    if not path.exists():
        encoder.dropout = settings.dropout
        torch.manual_seed(mixture.seed)
        checkpoint = path.with_suffix(".checkpoint")
        say(f"{len(runs):,} batches of {settings.budget_tokens:,} tokens")
        fit(learner, mixture.examples, runs, loss, settings.schedule(), checkpoint, mixture.seed, say)
        write_whole(path, partial(_save, encoder))
        checkpoint.unlink(missing_ok=True)
    encoder.load_state_dict(load_file(path))
    encoder.dropout = 0.0
    return encoder.eval()


def _save(encoder: Encoder, part: Path) -> None:
    save_file(encoder.state_dict(), part)
