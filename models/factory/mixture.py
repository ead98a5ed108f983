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
    """Weight texts of one corpus by their sentiment.

    In a three-class corpus, which is one that holds a neutral text, negative texts count `negative_factor` times: they are rare
    in tweets, and the figure measured there is macro recall, in which every class counts alike.

    Args:
        sentiment: Sentiment codes of the corpus's texts, int8, shape (d,); see `models.factory.examples`.
        negative_factor: Weight of negative texts in a three-class corpus.

    Returns:
        Factor on how often each text is drawn, float64, shape (d,).
    """
    three = bool((sentiment == 1).any())
    return np.where((sentiment == 0) & three, negative_factor, 1.0)


def encode_corpus(name: str, records: Sequence[LabelledText], tokenizer: PieceTokenizer, most: int) -> Examples:
    """Encode records of a corpus, with the labels masked that its annotation leaves open.

    Where a corpus does not label MISC, an O may hide one; where it knows no neutral, a text is only rather negative or rather
    positive.

    Args:
        name: Name of the corpus in `CORPORA`; says which labels it knows.
        records: Texts with their gold labels.
        tokenizer: Tokenizer of the model that reads them.
        most: Pieces after which a text is cut, specials not counted.

    Returns:
        The texts in the order of the records.
    """
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
    """Load all training texts of the named corpora, and how often each text is to be drawn.

    Args:
        epochs: Corpus -> how often its texts are drawn; multiplied by `sentiment_repeats`.
        data_dir: Folder that holds the corpora.
        tokenizer: Tokenizer of the model that is trained.
        negative_factor: Weight of negative texts in three-class corpora.
        traditional: Share of the texts, 0 to 1, that is shown in the other Chinese script.
        most: Pieces after which a text is cut, specials not counted.
        shelf: Keeps the encoded texts on disk; None keeps nothing. Not used with `traditional`, since only texts in the script
            that they were written in are kept.

    Returns:
        The texts, corpus after corpus in the order of `epochs`; how often each is to be drawn, float64, shape (d,); and the
        number of texts of each corpus.

    Raises:
        DataMissingError: A corpus is not known, or its file is absent.
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
    """Load all training texts of a corpus, from the shelf if they are there.

    Args:
        name: Name of the corpus in `CORPORA`.
        data_dir: Folder that holds the corpora; not read if the shelf has the texts.
        tokenizer: Tokenizer of the model that reads them.
        most: Pieces after which a text is cut, specials not counted.
        shelf: Keeps the encoded texts on disk; None reads and encodes them anew.

    Returns:
        The encoded texts in the order of the corpus.

    Raises:
        DataMissingError: The texts are not on the shelf and the corpus's file is absent.
    """

    def make() -> Examples:
        return encode_corpus(name, read(name, data_dir), tokenizer, most)

    return make() if shelf is None else shelf.keep(name, ["all", most], make)
