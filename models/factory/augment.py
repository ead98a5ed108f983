"""Unlabelled texts derived from the corpora, for the teacher to label: sentences, phrases, and texts with words exchanged."""

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
    """Draw sentences from the records' texts in random order, with a preference for those that hold capitalised words.

    Students need entities, and most sentences have none. So two candidates are drawn for each place, and the one with more
    capitalised words behind its first word is kept. Sentences have MIN_CHARACTERS to MAX_CHARACTERS characters, with each run of
    white space folded to one space.

    Args:
        records: Texts that are split into sentences; their labels are not used.
        wanted: Sentences drawn at most.
        rng: Chooses the sentences.

    Returns:
        The sentences, without labels; half of the candidates if the records hold fewer than twice `wanted`.
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
    """Draw phrases from the records' texts: whole clauses, or arbitrary runs of words.

    There are few sentences, and a sentence's label says only how all its parts together feel; the teacher's answers to the parts
    tell a student which words are the reason. With equal chance a phrase is what lies between two neighbouring words of
    CLAUSE_ENDS, or any run of words. It has at least 3 words and is never a whole text; texts of fewer than 6 words are not used.

    Args:
        records: Texts that the phrases are cut out of, words and punctuation marks apart by spaces; at least one. Their labels
            are not used.
        wanted: Phrases drawn at most.
        rng: Chooses the texts and where they are cut.

    Returns:
        The phrases, without labels; fewer than `wanted` if too few of 20 tries for each succeed.
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
    """The nearest words of each word, by cosine similarity of their embeddings.

    Only pieces that are whole words of at least 3 small Latin letters are known; `word in neighbours` says whether one is.

    Args:
        vectors: Piece embeddings, float, shape (pieces, hidden).
        pieces: Texts of the pieces, in the order of the rows.
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
        """Return at most NEAREST other words that are nearest to a word, in no order.

        Args:
            word: A known word.

        Raises:
            KeyError: The word is not known.
        """
        if word not in self._nearest:
            row = self._row[word]
            likeness = self._unit @ self._unit[row]
            likeness[row] = -np.inf
            count = min(NEAREST, len(likeness) - 1)
            self._nearest[word] = [self._words[i] for i in np.argpartition(-likeness, count)[:count]]
        return self._nearest[word]


def exchanged(records: list[LabelledText], wanted: int, rng: np.random.Generator, neighbours: Neighbours) -> list[LabelledText]:
    """Make texts, half of them whole and half of them phrases, in which some words are exchanged for near ones.

    So students meet, in sentences like those of the corpus, words that it does not hold (the augmentation of TinyBERT, Jiao et
    al., 2020); the teacher says what the exchange makes of the text. Each known word is exchanged with probability EXCHANGED, and
    at least one in every text; texts without a known word are left out.

    Args:
        records: Texts that are changed, words apart by spaces; at least one. Their labels are not used.
        wanted: Texts made at most.
        rng: Chooses the texts, the words, and what these are exchanged for.
        neighbours: Knows the words that can be exchanged, and the words near to each.

    Returns:
        The texts, without labels.
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
