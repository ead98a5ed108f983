"""The mix of corpora that a training run sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.factory.corpora import CORPORA, read
from models.factory.corpus_readers import LabelledText
from models.factory.examples import MAX_PIECES, Examples, concatenate, encode, without_neutral
from models.factory.script_forms import in_both_scripts
from models.factory.shelf import Shelf
from models.runtime.tokenizer import PieceTokenizer


def sentiment_repeats(sentiment: npt.NDArray[np.int8], negative_factor: float) -> npt.NDArray[np.float64]:
    """How often the texts of one corpus count, by their sentiment.

    Negative texts, rare in tweets, count `negative_factor` times in three-class corpora: the figure there is macro recall.
    """
    three = bool((sentiment == 1).any())
    return np.where((sentiment == 0) & three, negative_factor, 1.0)


def encode_corpus(name: str, records: Sequence[LabelledText], tokenizer: PieceTokenizer, most: int) -> Examples:
    """The records of a corpus with the masks that its label set needs, cut at `most` pieces."""
    corpus = CORPORA[name]
    found = encode(records, tokenizer, corpus.misc_known, most)
    return found if corpus.neutral_known else without_neutral(found)


def load_mixture(
    epochs: Mapping[str, float],
    data_dir: Path,
    tokenizer: PieceTokenizer,
    negative_factor: float,
    traditional: float = 0.0,
    most: int = MAX_PIECES,
    shelf: Shelf | None = None,
) -> tuple[Examples, npt.NDArray[np.float64], list[int]]:
    """All training texts of the named corpora, and how often each is to be drawn (`epochs` x `sentiment_repeats`), and the
    corpora's numbers of texts. A share of `traditional` is in the other Chinese script. Texts are cut at `most` pieces.
    They are kept on `shelf`, if one is given, where they are in the script that they were written in.
    """
    parts, repeats = [], []
    rng = np.random.default_rng(len(epochs))
    for name, times in epochs.items():
        if traditional:
            part = encode_corpus(name, in_both_scripts(read(name, data_dir), traditional, rng), tokenizer, most)
        else:
            part = gold_texts(name, data_dir, tokenizer, most, shelf)
        parts.append(part)
        repeats.append(times * sentiment_repeats(part.sentiment, negative_factor))
    return concatenate(parts), np.concatenate(repeats), [len(part) for part in parts]


def gold_texts(name: str, data_dir: Path, tokenizer: PieceTokenizer, most: int, shelf: Shelf | None) -> Examples:
    """All training texts of a corpus, from the shelf if they are there."""

    def make() -> Examples:
        return encode_corpus(name, read(name, data_dir), tokenizer, most)

    return make() if shelf is None else shelf.keep(name, ["all", most], make)
