"""A reader's figures: how good its answers are, and whether its scores mean what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.factory.reader_corpora import Question, unanswerable
from models.factory.reader_metrics import answers_score, calibration_error, f1, precision_at
from models.runtime.reader import Reader

# An answer that shares so much with the right one is right, where scores are judged.
RIGHT_F1 = 0.5
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Judgements:
    """Answers, and whether they are right.

    Attributes:
        margins: Margins of span and of answerable, float64, shape (n, 2).
        right: Whether the answer is right; never where the passage holds none, shape (n,).
        holds: Whether the passage holds an answer, shape (n,).
        fold: Which fifth of the questions each is in; questions of one passage share theirs, shape (n,).
    """

    margins: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    holds: npt.NDArray[np.bool_]
    fold: npt.NDArray[np.int64]


def judged(reader: Reader, dev: Mapping[str, Sequence[Question]]) -> Judgements:
    """Ask every question, and one in two of a passage on the topic that does not answer it.

    Args:
        reader: The reader.
        dev: Name of the figure -> questions.

    Returns:
        What came of it.
    """
    margins, right, holds, fold = [], [], [], []
    plain = Reader(reader.tokenizer, reader.engine, reader.lang, reader.window, (1.0, 0.0, 0.0), reader.budget_tokens)
    other = Reader(reader.tokenizer, reader.engine, reader.lang, reader.window, (0.0, 1.0, 0.0), reader.budget_tokens)
    for questions in dev.values():
        asked = [*questions, *unanswerable(questions, 2)]
        texts, passages = [one.question for one in asked], [one.context for one in asked]
        spans, answerable = plain.read(texts, passages), other.read(texts, passages)
        number = {context: i for i, context in enumerate(dict.fromkeys(passages))}
        for one, span, sure in zip(asked, spans, answerable, strict=True):
            margins.append((span.logit, sure.logit))
            right.append(any(f1(span.text, text, reader.lang) >= RIGHT_F1 for text in one.texts))
            holds.append(bool(one.answers))
            fold.append(number[one.context] % FOLDS)
    return Judgements(np.array(margins), np.array(right), np.array(holds), np.array(fold))


def fit_calibration(judgements: Judgements) -> tuple[float, float, float]:
    """Find weights of the margins that make a probability of them, by logistic regression (Platt, 1999) with Newton's method.

    Args:
        judgements: Answers, and whether they are right.

    Returns:
        Weight of the span's margin, of the answerable margin, and the constant.
    """
    x = np.column_stack([np.clip(judgements.margins, -50, 50), np.ones(len(judgements.right))])
    weights = np.zeros(3)
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (p - judgements.right) + 1e-3 * weights
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(3)
        step = np.linalg.solve(hessian, gradient)
        weights -= step
        if np.abs(step).max() < 1e-9:
            break
    return float(weights[0]), float(weights[1]), float(weights[2])


def evaluate_reader(reader: Reader, dev: Mapping[str, Sequence[Question]]) -> dict[str, float]:
    """Measure a reader.

    Args:
        reader: The reader.
        dev: Name of the figure -> questions.

    Returns:
        In per cent: `NAME_em` and `NAME_f1` of each figure, over questions that have an answer; by scores whose weights were
        found on other passages, `calibration_error` over questions with and without an answer, and `precision_at_60`, how many
        of the surest 60 % are right of those with one.
    """
    found: dict[str, float] = {}
    for name, questions in dev.items():
        given = reader.read([one.question for one in questions], [one.context for one in questions])
        held = [(answer.text, one.texts) for answer, one in zip(given, questions, strict=True) if one.answers]
        found[f"{name}_em"], found[f"{name}_f1"] = answers_score([a for a, _ in held], [b for _, b in held], reader.lang)
    every = judged(reader, dev)
    scores = np.zeros(len(every.right))
    for fold in range(FOLDS):
        inside = every.fold == fold
        a, b, c = fit_calibration(Judgements(*(part[~inside] for part in (every.margins, every.right, every.holds, every.fold))))
        margins = np.clip(every.margins[inside], -50, 50)
        scores[inside] = 1 / (1 + np.exp(-(a * margins[:, 0] + b * margins[:, 1] + c)))
    found["calibration_error"] = 100 * calibration_error(scores, every.right)
    found["precision_at_60"] = 100 * precision_at(scores[every.holds], every.right[every.holds], 0.6)
    return found
