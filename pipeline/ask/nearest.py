"""Passages that are near a question by their vectors, and how nearness and terms make one score."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.runtime.embedder import Embedder, load_embedder
from models.runtime.package import EMBEDDER, ModelPackage, open_package
from models.runtime.script import languages
from pipeline.ask.vectors import PassageVectors, VectorsOf
from pipeline.errors import OutputError

# How much BM25 counts beside the cosine.
BM25_SHARE = 0.01


class _QuestionEmbedder:
    """Makes vectors of questions; loaded when the first one needs it, and used by one thread at a time, as its engine must be."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._embedder: Embedder | None = None

    def vector(self, question: str) -> npt.NDArray[np.float32]:
        with self._lock:
            # One text is one batch: more than one thread would only hold memory.
            self._embedder = self._embedder or load_embedder(self._folder, threads=1)
            found: npt.NDArray[np.float32] = self._embedder.vectors([question])[0]
            return found


@lru_cache(maxsize=2)
def _of_questions(folder: Path, digest: str) -> _QuestionEmbedder:
    """The same for every generation of an index: what a new generation must not do is load a model while somebody waits."""
    return _QuestionEmbedder(folder)


class NearestPassages:
    """Compares questions with the passages of a generation; safe to share between threads.

    Args:
        folder: Of the generation.
        of: What its manifest says of vectors.
        embedder: Name or folder of the embedder.

    Raises:
        OutputError: The vectors are of another embedder, or damaged.
    """

    def __init__(self, folder: Path, of: VectorsOf, embedder: str | Path) -> None:
        self._package: ModelPackage = open_package(embedder, EMBEDDER)
        if self._package.digest != of.digest:
            raise OutputError(f"{folder} has vectors of another embedder than {embedder}; run `textmill index` again")
        self._vectors = PassageVectors(folder, of, self._package.config.hidden)
        self._questions = _of_questions(self._package.folder, self._package.digest)

    def cosines(self, question: str) -> npt.NDArray[np.float64] | None:
        """Compare a question with all passages.

        Args:
            question: The question; one without letters is taken as English.

        Returns:
            The cosines, in the order of `numbers`; None if the question is not in the language of the vectors.
        """
        if (languages([question])[0] or "en") != self._package.lang:
            return None
        return self._vectors.cosines(self._questions.vector(question))

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """Numbers of the passages that have a vector, ascending."""
        return self._vectors.numbers

    def best(self, cosines: npt.NDArray[np.float64], most: int, among: npt.NDArray[np.int64] | None = None) -> list[int]:
        """Choose the nearest passages.

        Args:
            cosines: From `cosines`.
            most: About so many: equal ones at the end are all taken, up to twice as many.
            among: Numbers of the passages that may be chosen; None for all.

        Returns:
            Their numbers.
        """
        if among is not None:
            cosines = np.where(np.isin(self.numbers, among), cosines, -np.inf)
        if not len(cosines):
            return []
        least = np.partition(cosines, -most)[-most] if most < len(cosines) else -np.inf
        better, equal = self.numbers[cosines > least], self.numbers[(cosines == least) & np.isfinite(cosines)]
        return [*better.tolist(), *equal[: 2 * most - len(better)].tolist()]

    def of(self, cosines: npt.NDArray[np.float64], number: int | None) -> float | None:
        """Look up a passage's cosine.

        Args:
            cosines: From `cosines`.
            number: Of the passage; None for one without a vector.

        Returns:
            The cosine, if it has one.
        """
        return None if number is None else float(cosines[np.searchsorted(self.numbers, number)])


def fused(bm25: float, cosine: float | None) -> float:
    """Make one score of both.

    Args:
        bm25: How well the terms fit.
        cosine: How near the passage is to the question; None where it has no vector.

    Returns:
        The score; among passages without vectors BM25 alone decides.
    """
    return BM25_SHARE * bm25 + (cosine or 0.0)
