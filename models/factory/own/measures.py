"""What a tagger reaches on a user's held-out documents, by type and class, and which documents it gets wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from models.factory.own.documents import OwnDocument
from models.factory.own.spans import LabelledSpan
from models.factory.probabilities import expected_calibration_error
from models.runtime.tagger import Tagger


class Judged(NamedTuple):
    """A document and what was found in it.

    Attributes:
        document: The document with its gold labels.
        entities: What was found, above the least score.
        scores: Of each of these.
        label: The class that was found; None if the model has none.
        confidence: Its score.
    """

    document: OwnDocument
    entities: tuple[LabelledSpan, ...]
    scores: tuple[float, ...]
    label: str | None
    confidence: float


def judge(tagger: Tagger, documents: Sequence[OwnDocument], min_score: float) -> list[Judged]:
    """Tag documents and lay what is found beside their labels.

    Args:
        tagger: The tagger.
        documents: Documents with gold labels.
        min_score: The least score of an entity that counts.

    Returns:
        One for each document, in their order.
    """
    judged = []
    for document, row in zip(documents, tagger.tag([d.text for d in documents]).to_pylist(), strict=True):
        found = [entity for entity in row["entities"] if entity["score"] >= min_score]
        spans = tuple(LabelledSpan(entity["start"], entity["end"], entity["label"]) for entity in found)
        scores = row["sentiment_scores"] or {}
        confidence = float(scores.get(row["sentiment"], 0.0))
        judged.append(Judged(document, spans, tuple(entity["score"] for entity in found), row["sentiment"], confidence))
    return judged


def figures_of(judged: Sequence[Judged]) -> dict[str, Any]:
    """Compute the figures of held-out documents.

    Args:
        judged: From `judge`.

    Returns:
        `documents`; where entities are labelled `entities`, with precision, recall and F1 by exact extent and type, of all and by
        type, and the expected calibration error `ece` of their scores; where classes are, `classes`, with accuracy, macro F1, the
        same three of each class, and `ece`. In per cent, rounded to one decimal; a share of nothing is None.
    """
    figures: dict[str, Any] = {"documents": len(judged)}
    marked = [one for one in judged if one.document.entities is not None]
    if marked:
        gold = [{(n, *span) for span in one.document.entities or ()} for n, one in enumerate(marked)]
        found = [{(n, *span) for span in one.entities} for n, one in enumerate(marked)]
        right = np.array([span in set(one.document.entities or ()) for one in marked for span in one.entities], bool)
        scores = np.array([score for one in marked for score in one.scores], np.float64)
        every = _counted((span[-1] for some in gold for span in some), (span[-1] for some in found for span in some),
                         (span[-1] for some, other in zip(gold, found, strict=True) for span in some & other))  # fmt: skip
        figures["entities"] = every | {"ece": _percent(expected_calibration_error(scores, right))}
    classed = [one for one in judged if one.document.label is not None]
    if classed:
        hits = [one.label for one in classed if one.label == one.document.label]
        every = _counted((str(one.document.label) for one in classed), (str(one.label) for one in classed), map(str, hits))
        right = np.array([one.label == one.document.label for one in classed])
        confidence = np.array([one.confidence for one in classed])
        figures["classes"] = {
            "accuracy": _percent(len(hits) / len(classed)),
            "macro_f1": _percent(float(np.mean([one["f1"] or 0.0 for one in every["each"].values()])) / 100),
            "each": every["each"],
            "ece": _percent(expected_calibration_error(confidence, right)),
        }
    return figures


def _counted(gold: Iterable[str], found: Iterable[str], right: Iterable[str]) -> dict[str, Any]:
    """Precision, recall and F1 of all, and of each name."""
    counts = [Counter(names) for names in (gold, found, right)]
    names = sorted({*counts[0], *counts[1]})
    return {
        **_rates(*(count.total() for count in counts)),
        "each": {name: _rates(*(count[name] for count in counts)) | {"count": counts[0][name]} for name in names},
    }


def _rates(gold: int, found: int, right: int) -> dict[str, float | None]:
    return {
        "precision": _percent(right / found) if found else None,
        "recall": _percent(right / gold) if gold else None,
        "f1": _percent(2 * right / (gold + found)) if gold + found else None,
    }


def _percent(share: float) -> float:
    return round(100 * share, 1)


def errors_of(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return the documents that are not tagged as they are labelled.

    Args:
        judged: From `judge`.

    Returns:
        Of each its `text`, and where they differ `missed` and `wrong` entities and `label` (gold) and `found` class.
    """
    wrong = []
    for one in judged:
        row: dict[str, Any] = {}
        if one.document.entities is not None and set(one.document.entities) != set(one.entities):
            row["missed"] = [_shown(one, span) for span in one.document.entities if span not in one.entities]
            row["wrong"] = [_shown(one, span) for span in one.entities if span not in one.document.entities]
        if one.document.label is not None and one.document.label != one.label:
            row |= {"label": one.document.label, "found": one.label}
        if row:
            wrong.append({"text": one.document.text, **row})
    return wrong


def _shown(one: Judged, span: LabelledSpan) -> dict[str, Any]:
    return {"text": one.document.text[span.start : span.end], **span._asdict()}
