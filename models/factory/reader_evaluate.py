"""A reader's figures: how good its answers are, and whether its scores mean what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.factory.probabilities import expected_calibration_error, fit_calibration, probability
from models.factory.reader_corpora import Question, unanswerable
from models.factory.reader_metrics import answers_score, f1, precision_at
from models.runtime.reader import Reader

# An answer that shares so much with the right one is right, where scores are judged.
RIGHT_F1 = 0.5
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Judgements:
    """Answers, and whether they are right.

    Attributes:
        margins: Of each answer, see `models.runtime.reader.Answer`, float64, shape (n, 4).
        right: Whether the answer is right; never where the passage holds none, shape (n,).
        holds: Whether the passage holds an answer, shape (n,).
        fold: Which fifth of the questions each is in; questions of one passage share theirs, shape (n,).
        shares: In per cent, `NAME_em` and `NAME_f1` of each figure, over questions that have an answer.
    """

    margins: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    holds: npt.NDArray[np.bool_]
    fold: npt.NDArray[np.int64]
    shares: Mapping[str, float]


def judged(reader: Reader, dev: Mapping[str, Sequence[Question]]) -> Judgements:
    """Ask every question, and one in two of a passage on the topic that does not answer it.

    Args:
        reader: The reader.
        dev: Name of the figure -> questions.

    Returns:
        What came of it.
    """
    margins, right, holds, fold = [], [], [], []
    shares: dict[str, float] = {}
    for name, questions in dev.items():
        asked = [*questions, *unanswerable(questions, 2)]
        passages = [one.context for one in asked]
        answers = reader.read([one.question for one in asked], passages)
        held = [(answer.text, one.texts) for answer, one in zip(answers, questions, strict=False) if one.answers]
        shares[f"{name}_em"], shares[f"{name}_f1"] = answers_score([a for a, _ in held], [b for _, b in held], reader.lang)
        number = {context: i for i, context in enumerate(dict.fromkeys(passages))}
        for one, answer in zip(asked, answers, strict=True):
            margins.append(answer.margins)
            right.append(any(f1(answer.text, text, reader.lang) >= RIGHT_F1 for text in one.texts))
            holds.append(bool(one.answers))
            fold.append(number[one.context] % FOLDS)
    return Judgements(np.array(margins), np.array(right), np.array(holds), np.array(fold), shares)


def reader_figures(judgements: Judgements) -> dict[str, float]:
    """Measure a reader by its answers; its own calibration does not count.

    Args:
        judgements: Its answers, and whether they are right.

    Returns:
        In per cent: `NAME_em` and `NAME_f1` of each figure, over questions that have an answer; by scores whose weights were
        found on other passages, `calibration_error` over questions with and without an answer, and `precision_at_60`, how many
        of the surest 60 % are right of those with one.
    """
    every = judgements
    scores = np.zeros(len(every.right))
    for fold in range(FOLDS):
        inside = every.fold == fold
        scores[inside] = probability(every.margins[inside], fit_calibration(every.margins[~inside], every.right[~inside]))
    return {
        **every.shares,
        "calibration_error": 100 * expected_calibration_error(scores, every.right),
        "precision_at_60": 100 * precision_at(scores[every.holds], every.right[every.holds], 0.6),
    }
