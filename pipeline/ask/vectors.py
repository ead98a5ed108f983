"""Vectors of passages beside tantivy's files: one file a part, never changed, found by numbers that no other passage has.

A vector is of a passage and, a little, of what stands around it: of the passages before and behind it and of the first of its
document, which often alone name what it speaks of. A file holds, for n passages, n scales (float32) and n rows of whole numbers
(int8), of which the greatest is 127; row times scale is the unit vector. Its name has the number of its first passage, and the
tantivy document of a passage has the passage's number. Numbers go on from generation to generation and are not used again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.extras import install
from pipeline.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from models.runtime.embedder import Embedder

# How much of the vectors of a passage's neighbours, and of its document's first passage, is added to its own.
NEIGHBOUR_SHARE, FIRST_SHARE = 0.2, 0.2
Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
MOST = 127
# Files with fewer rows are read and joined.
BLOCK = 512


@dataclass(frozen=True, slots=True)
class VectorsOf:
    """What a generation's manifest says of its vectors.

    Attributes:
        digest: Of the embedder, "" where there are no vectors.
        next: The number that the next passage gets.
        parts: Part -> the number of its first passage, and how many it has.
    """

    digest: str = ""
    next: int = 0
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> VectorsOf:
        """Read what `to_json` gave.

        Args:
            found: The parsed JSON object.

        Returns:
            What it says.
        """
        parts = {str(part): (int(first), int(count)) for part, (first, count) in found["parts"].items()}
        return cls(str(found["digest"]), int(found["next"]), parts)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"digest": self.digest, "next": self.next, "parts": {part: list(at) for part, at in self.parts.items()}}


def vectors_file(folder: Path, first: int) -> Path:
    """Return the file of a part's vectors.

    Args:
        folder: Of the generation.
        first: Number of the part's first passage.
    """
    return folder / f"vectors-{first:012d}.int8"


class VectorWriter:
    """Writes the vectors of one build.

    Args:
        folder: Of the generation that is built; it holds the files of the one before.
        before: What the manifest of that one says.
        load: Gives the embedder; called when the first part needs it. None leaves vectors out.
        digest: Of the embedder.
        lang: Language of the passages that get a vector.
    """

    def __init__(
        self, folder: Path, before: VectorsOf, load: Callable[[], Embedder] | None, digest: str = "", lang: str = ""
    ) -> None:
        self._folder, self._load, self._digest, self._lang = folder, load, digest, lang
        self._next, self._parts = before.next, dict(before.parts)
        self._texts: list[str] = []
        self._documents: list[int] = []
        self._embedder: Embedder | None = None

    def drop(self, part: str) -> None:
        """Take out a part's vectors.

        Args:
            part: The part; it may have none.
        """
        if part in self._parts:
            vectors_file(self._folder, self._parts.pop(part)[0]).unlink()

    def add(self, text: str, lang: str, document: int) -> int | None:
        """Take in a passage of the part that is read.

        Args:
            text: The passage.
            lang: Language of its document.
            document: Which of the part's documents it is of; passages of one come one behind another.

        Returns:
            Its number; None if it gets no vector.
        """
        if self._load is None or lang != self._lang:
            return None
        self._texts.append(text)
        self._documents.append(document)
        return self._next + len(self._texts) - 1

    def close_part(self, part: str, check: Callable[[], object]) -> None:
        """Write the vectors of a part, all of whose passages are taken in.

        Args:
            part: The part.
            check: Called often; what it raises ends the build.
        """
        if self._load is None or not self._texts:
            return
        self._embedder = self._embedder or self._load()
        vectors = with_neighbours(self._embedder.vectors(self._texts, check), np.array(self._documents))
        rows, scales = rounded(vectors)
        with vectors_file(self._folder, self._next).open("wb") as out:
            out.write(scales.tobytes())
            out.write(rows.tobytes())
            out.flush()
            os.fsync(out.fileno())
        self._parts[part] = (self._next, len(self._texts))
        self._next += len(self._texts)
        self.forget()

    def forget(self) -> None:
        """Leave out the passages that were taken in of a part that is not closed."""
        self._texts, self._documents = [], []

    def of(self) -> VectorsOf:
        """Return what the manifest of the new generation is to say."""
        return VectorsOf(self._digest, self._next, self._parts)


def with_neighbours(vectors: npt.NDArray[np.float32], documents: Int64) -> npt.NDArray[np.float32]:
    """Add to the vector of each passage a little of those around it.

    Args:
        vectors: Unit vectors of passages, shape (n, width).
        documents: Document of each, shape (n,); those of one document stand together, in their order.

    Returns:
        Unit vectors of the same shape.
    """
    mixed = vectors.copy()
    follows = np.flatnonzero(documents[1:] == documents[:-1])
    mixed[follows] += NEIGHBOUR_SHARE * vectors[follows + 1]
    mixed[follows + 1] += NEIGHBOUR_SHARE * vectors[follows]
    begins = np.flatnonzero(np.append(True, documents[1:] != documents[:-1]))
    first = begins[np.cumsum(np.append(False, documents[1:] != documents[:-1]))]
    later = np.flatnonzero(first != np.arange(len(first)))
    mixed[later] += FIRST_SHARE * vectors[first[later]]
    unit: npt.NDArray[np.float32] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    return unit


def rounded(vectors: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Round vectors to whole numbers, of which the greatest of each row is MOST.

    Args:
        vectors: Unit vectors, shape (n, width).

    Returns:
        The rows, and scales that make unit vectors of them, shape (n,).
    """
    rows = np.rint(vectors * (MOST / np.abs(vectors).max(axis=1, keepdims=True)))
    scales = 1.0 / np.linalg.norm(rows, axis=1)
    return rows.astype(np.int8), scales.astype(np.float32)


class PassageVectors:
    """The vectors of a generation, mapped into memory.

    Args:
        folder: Of the generation.
        of: What its manifest says.
        width: Numbers of a vector.

    Attributes:
        numbers: Of the passages, ascending, int64.

    Raises:
        ConfigError: numkong is not installed.
        OutputError: A file is not there, or not as long as it should be.
    """

    def __init__(self, folder: Path, of: VectorsOf, width: int) -> None:
        if find_spec("numkong") is None:
            raise ConfigError(f"an index with vectors needs the package numkong: {install('ask')}")
        spans = sorted(of.parts.values())
        self.numbers: Int64 = np.concatenate([np.arange(first, first + count) for first, count in spans] or [np.zeros(0, int)])
        self._blocks: list[tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]] = []
        small: list[tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]] = []
        for first, count in spans:
            rows, scales = _mapped(vectors_file(folder, first), count, width)
            small.append((rows, scales))
            if sum(len(scales) for _, scales in small) >= BLOCK:
                self._blocks.append(_joined(small))
                small = []
        if small:
            self._blocks.append(_joined(small))

    def cosines(self, query: npt.NDArray[np.float32]) -> Float64:
        """Compare all passages with a question.

        The sums are of whole numbers and exact: the same cosines on every machine.

        Args:
            query: Unit vector, shape (width,).

        Returns:
            The cosines, in the order of `numbers`.
        """
        import numkong

        asked, scale = rounded(query[None])
        found = np.empty((1, len(self.numbers)), np.float64)
        at = 0
        for rows, scales in self._blocks:
            mine = found[:, at : at + len(rows)]
            numkong.cdist(asked, rows, "dot", out=mine)
            mine *= scales
            at += len(rows)
        found *= np.float64(scale[0])
        cosines: Float64 = found[0]
        return cosines


def _mapped(path: Path, count: int, width: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    try:
        whole = np.memmap(path, np.uint8, "r")
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: no vectors of passages ({error}); make the index anew") from error
    if len(whole) != count * (4 + width):
        raise OutputError(f"{path}: {len(whole)} bytes, where {count} vectors have {count * (4 + width)}; make the index anew")
    return whole[4 * count :].view(np.int8).reshape(count, width), whole[: 4 * count].view(np.float32)


def _joined(
    parts: list[tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([scales for _, scales in parts])
