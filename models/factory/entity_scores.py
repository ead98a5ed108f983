"""Scores of entities as probabilities: fitted to real posts, and measured on posts that they were not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.factory.corpora import CORPORA, read
from models.factory.corpus_readers import LabelledText
from models.factory.languages import language
from models.factory.probabilities import expected_calibration_error, fit_calibration, probability
from models.runtime.confidence import margin
from models.runtime.labels import MIN_SCORE
from models.runtime.tagger import Tagger

FOLDS = 5


@dataclass(frozen=True, slots=True)
class JudgedEntities:
    """The entities that a tagger finds in posts, and whether they are right.

    Attributes:
        scores: Of each entity, float64, shape (E,).
        right: Whether its extent and type are those of a gold entity, shape (E,).
        post: Number of its post, int64, shape (E,).
        wanted: Gold entities of all posts.
    """

    scores: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    post: npt.NDArray[np.int64]
    wanted: int

    def f1(self, scores: npt.NDArray[np.float64], least: float = MIN_SCORE) -> float:
        """Compute the strict F1 of the entities that count.

        Args:
            scores: Of each entity, shape (E,).
            least: The least score that counts.

        Returns:
            A share of 1.
        """
        counts = scores >= least
        return 2 * float(self.right[counts].sum()) / max(self.wanted + int(counts.sum()), 1)


def judged_entities(tagger: Tagger, records: Sequence[LabelledText], keep_misc: bool) -> JudgedEntities:
    """Tag posts and compare what is found with their gold entities.

    Args:
        tagger: The tagger.
        records: Posts with gold spans.
        keep_misc: Whether MISC entities count; without it they are left out of gold and predictions.

    Returns:
        What came of it.
    """
    wanted = 0
    scores, right, post = [], [], []
    rows = tagger.tag([record.text for record in records]).to_pylist()
    for number, (record, row) in enumerate(zip(records, rows, strict=True)):
        spans = {span for span in record.spans or () if keep_misc or span[2] != "MISC"}
        wanted += len(spans)
        for entity in row["entities"]:
            if keep_misc or entity["label"] != "MISC":
                scores.append(entity["score"])
                right.append((entity["start"], entity["end"], entity["label"]) in spans)
                post.append(number)
    return JudgedEntities(np.array(scores, np.float64), np.array(right, bool), np.array(post, np.int64), wanted)


def real_entities(tagger: Tagger, data_dir: Path) -> JudgedEntities:
    """Judge the entities that a tagger finds in the dev split of the real posts of its language.

    Args:
        tagger: The tagger.
        data_dir: Folder of the corpora.

    Returns:
        What came of it.

    Raises:
        DataMissingError: The posts are not there.
        RecipeError: The factory does not know the language.
    """
    name = language(tagger.lang).posts
    return judged_entities(tagger, read(name, data_dir, "dev"), CORPORA[name].misc_known)


def fit_entity_scores(judged: JudgedEntities, seed: int) -> dict[str, Any]:
    """Fit the logistic function that makes a probability of an entity's own score.

    Args:
        judged: Entities with the scores that the model gives by itself.
        seed: Of the folds of the cross-validation.

    Returns:
        `weights`, slope and constant as `models.runtime.confidence.calibrated` takes them; the number of `folds`; `before`, the
        expected calibration error without; and as `across` what is reached on posts that were not fitted to: `entity_ece` and
        `f1`, the F1 of what counts. In per cent, rounded to two decimals.
    """
    margins = margin(judged.scores)[:, None]
    fold = np.random.default_rng(seed).permutation(int(judged.post.max(initial=0)) + 1)[judged.post] % FOLDS
    scores = np.zeros(len(margins))
    for number in range(FOLDS):
        mine = fold == number
        scores[mine] = probability(margins[mine], fit_calibration(margins[~mine], judged.right[~mine]))
    figures = {"entity_ece": expected_calibration_error(scores, judged.right), "f1": judged.f1(scores)}
    before = expected_calibration_error(judged.scores, judged.right)
    return {
        "weights": list(fit_calibration(margins, judged.right)),
        "folds": FOLDS,
        "before": round(100 * before, 2),
        "across": {key: round(100 * value, 2) for key, value in figures.items()},
    }
