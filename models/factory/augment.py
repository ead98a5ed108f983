"""Texts made out of other texts, for the teacher to label: sentences, phrases, and phrases with words exchanged."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from models.factory.corpus_readers import LabelledText

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(@#])|\n\s*\n")
_WORD = re.compile(r"[a-z]{3,}")
MIN_CHARACTERS, MAX_CHARACTERS = 20, 400
CLAUSE_ENDS = frozenset(",;:.-!?") | {"--", "...", "but", "and", "or"}
# Of the words of a text, this share is exchanged, each for one of so many nearest words.
EXCHANGED, NEAREST = 0.25, 12


def sentences(records: list[LabelledText], wanted: int, rng: np.random.Generator) -> list[LabelledText]:
    """Choose sentences of records, in random order, white space folded; those with more capitals come first.

    Of two candidates drawn for every place, the one with more words in capitals inside it is kept: students need
    entities, and most sentences have none.

    Args:
        records: Texts that they are made of.
        wanted: How many.
        rng: Draws them.

    Returns:
        At most `wanted` unlabelled texts.
    """
    found: list[str] = []
    for number in rng.permutation(len(records)):
        for sentence in _SENTENCE.split(records[number].text):
            folded = " ".join(sentence.split())
            if MIN_CHARACTERS <= len(folded) <= MAX_CHARACTERS:
                found.append(folded)
        if len(found) >= 4 * wanted:
            break
    order = rng.permutation(len(found))[: 2 * wanted]
    richness = np.array([len(re.findall(r" [A-Z]", found[i])) for i in order])
    half = len(order) // 2
    keep = np.where(richness[:half] >= richness[half : 2 * half], order[:half], order[half : 2 * half])
    return [LabelledText(found[i]) for i in keep]


def phrases(records: list[LabelledText], wanted: int, rng: np.random.Generator) -> list[LabelledText]:
    """Cut runs of words out of texts: a part up to a comma or the like, or any run of 3 words or more.

    Sentences are few and say how all their parts together feel; the teacher's answers to the parts tell a student which
    words did it.

    Args:
        records: Texts that they are made of.
        wanted: How many.
        rng: Draws them.

    Returns:
        At most `wanted` unlabelled texts.
    """
    found: list[LabelledText] = []
    for number in rng.integers(0, len(records), 20 * wanted):
        words = records[number].text.split()
        if len(words) < 6:
            continue
        breaks = [i + 1 for i, word in enumerate(words) if word in CLAUSE_ENDS]
        if breaks and rng.random() < 0.5:
            bounds = [0, *breaks, len(words)]
            at = int(rng.integers(0, len(bounds) - 1))
            first, last = bounds[at], bounds[at + 1]
        else:
            first = int(rng.integers(0, len(words) - 3))
            last = int(rng.integers(first + 3, len(words) + 1))
        if 3 <= last - first < len(words):
            found.append(LabelledText(" ".join(words[first:last])))
            if len(found) == wanted:
                break
    return found


class Neighbours:
    """The words whose embeddings are nearest to a word's, by cosine; only whole words in small letters are known.

    Args:
        vectors: Embeddings, one row a piece, float, shape (V, H).
        pieces: Texts of the pieces.
    """

    def __init__(self, vectors: npt.NDArray[np.floating], pieces: Sequence[str]) -> None:
        rows = [i for i, piece in enumerate(pieces) if _WORD.fullmatch(piece)]
        self._words = [pieces[i] for i in rows]
        self._row = {word: row for row, word in enumerate(self._words)}
        known = np.asarray(vectors[rows], dtype=np.float32)
        self._unit = known / np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-9)
        self._nearest: dict[str, list[str]] = {}

    def __contains__(self, word: str) -> bool:
        return word in self._row

    def of(self, word: str) -> list[str]:
        """Return at most NEAREST words, in no order; the word itself is none of them.

        Args:
            word: A known word.
        """
        if word not in self._nearest:
            row = self._row[word]
            likeness = self._unit @ self._unit[row]
            likeness[row] = -np.inf
            count = min(NEAREST, len(likeness) - 1)
            self._nearest[word] = [self._words[i] for i in np.argpartition(-likeness, count)[:count]]
        return self._nearest[word]


def exchanged(records: list[LabelledText], wanted: int, rng: np.random.Generator, neighbours: Neighbours) -> list[LabelledText]:
    """Make texts, half of them whole and half of them phrases, with words exchanged for near ones.

    So students meet, in the manner of the corpus, words that it does not hold (as TinyBERT's augmentation does, Jiao et
    al. 2020); the teacher says what that makes of the text.

    Args:
        records: Texts that they are made of.
        wanted: How many.
        rng: Draws them.
        neighbours: Knows near words.

    Returns:
        At most `wanted` unlabelled texts.
    """
    whole = [records[i] for i in rng.integers(0, len(records), wanted - wanted // 2)]
    found = []
    for record in [*whole, *phrases(records, wanted // 2, rng)]:
        words = record.text.split()
        able = [i for i, word in enumerate(words) if word in neighbours]
        if not able:
            continue
        count = max(1, rng.binomial(len(able), EXCHANGED))
        for i in rng.choice(able, count, replace=False):
            near = neighbours.of(words[i])
            words[i] = near[int(rng.integers(len(near)))] if near else words[i]
        found.append(LabelledText(" ".join(words)))
    return found


Maker = Callable[[list[LabelledText], int, np.random.Generator], list[LabelledText]]
