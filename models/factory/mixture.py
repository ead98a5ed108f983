"""The mix of corpora that a training run sees."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.factory.corpora import CORPORA, read
from models.factory.examples import MAX_PIECES, Examples, concatenate, encode
from models.factory.script_forms import in_both_scripts
from models.runtime.tokenizer import PieceTokenizer


def sentiment_repeats(sentiment: npt.NDArray[np.int8], negative_factor: float) -> npt.NDArray[np.float64]:
    """How often the texts of one corpus count, by their sentiment.

    Negative texts, rare in tweets, count `negative_factor` times in three-class corpora: the figure there is macro recall.
    """
    three = bool((sentiment == 1).any())
    return np.where((sentiment == 0) & three, negative_factor, 1.0)


def load_mixture(
    epochs: Mapping[str, float],
    data_dir: Path,
    tokenizer: PieceTokenizer,
    negative_factor: float,
    traditional: float = 0.0,
    most: int = MAX_PIECES,
) -> tuple[Examples, npt.NDArray[np.float64], list[int]]:
    """All training texts of the named corpora, and how often each is to be drawn (`epochs` x `sentiment_repeats`), and the
    corpora's numbers of texts. A share of `traditional` is in the other Chinese script. Texts are cut at `most` pieces.
    """
    parts, repeats = [], []
    rng = np.random.default_rng(len(epochs))
    for name, times in epochs.items():
        records = read(name, data_dir)
        if traditional:
            records = in_both_scripts(records, traditional, rng)
        part = encode(records, tokenizer, CORPORA[name].misc_known, most)
        parts.append(part)
        repeats.append(times * sentiment_repeats(part.sentiment, negative_factor))
    return concatenate(parts), np.concatenate(repeats), [len(part) for part in parts]
