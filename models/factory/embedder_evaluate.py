"""An embedder's figures: how often what answers a question is among the nearest, and how far rounding moves a vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.factory.latency import median_s
from models.factory.retrieval_set import RetrievalSet
from models.runtime.embedder import Embedder

Float32 = npt.NDArray[np.float32]
RANKS = (1, 5, 20)
TITLES = {
    **{f"r_at_{rank}": f"questions whose document is among the {rank} nearest" for rank in RANKS},
    "cosine": "mean cosine of vectors before and after rounding",
}
# Documents and questions of which speed is measured.
TIMED = 200


@dataclass(frozen=True, slots=True)
class EmbeddedSet:
    """The vectors of what finding is measured on.

    Attributes:
        questions: Unit vectors, shape (questions, width).
        documents: Unit vectors, shape (documents, width).
    """

    questions: Float32
    documents: Float32


def embedded(embedder: Embedder, found_in: RetrievalSet) -> EmbeddedSet:
    """Make the vectors of questions and documents.

    Args:
        embedder: The embedder.
        found_in: Questions and documents.

    Returns:
        The vectors.
    """
    return EmbeddedSet(embedder.vectors([one.question for one in found_in.questions]), embedder.vectors(found_in.documents))


def embedder_figures(vectors: EmbeddedSet, found_in: RetrievalSet) -> dict[str, float]:
    """Measure how often a question's own document is among the nearest.

    Args:
        vectors: From `embedded`.
        found_in: Questions and documents.

    Returns:
        `r_at_1` and so on, in per cent.
    """
    number = {text: i for i, text in enumerate(found_in.documents)}
    right = np.array([number[one.context] for one in found_in.questions])
    scores = vectors.questions @ vectors.documents.T
    rank = (scores > scores[np.arange(len(right)), right][:, None]).sum(axis=1)
    return {f"r_at_{most}": 100 * float((rank < most).mean()) for most in RANKS}


def mean_cosine(some: EmbeddedSet, others: EmbeddedSet) -> float:
    """Compare the vectors of two embedders.

    Args:
        some: Of one.
        others: Of the other, of the same texts.

    Returns:
        The mean cosine, in per cent.
    """
    pairs = ((some.questions, others.questions), (some.documents, others.documents))
    return 100 * float(np.concatenate([(a * b).sum(axis=1) for a, b in pairs]).mean())


def embedder_speed(embedder: Embedder, found_in: RetrievalSet) -> dict[str, float]:
    """Measure how long vectors take.

    Args:
        embedder: The embedder.
        found_in: Questions and documents; passages of 250 characters are cut from these.

    Returns:
        `question_ms`, the median of a question alone, and `passages_s`, passages a second.
    """
    asked = [one.question for one in found_in.questions[:21]]
    texts = [text[:250] for text in found_in.documents[:TIMED]]
    times = [median_s(lambda one=one: embedder.vectors([one]), 3) for one in asked]  # type: ignore[misc]
    return {
        "question_ms": 1000 * float(np.median(times)),
        "passages_s": len(texts) / median_s(lambda: embedder.vectors(texts), 5),
    }
