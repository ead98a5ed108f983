"""The mix of corpora that a training run sees."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.factory.corpora import CORPORA, read
from models.factory.examples import Examples, concatenate, encode
from models.runtime.tokenizer import PieceTokenizer


def load_mixture(
    epochs: Mapping[str, float], data_dir: Path, tokenizer: PieceTokenizer, negative_factor: float
) -> tuple[Examples, npt.NDArray[np.float64]]:
    """All training texts of the named corpora, and how often each is to be drawn.

    `epochs` gives that number for each corpus; texts of negative sentiment, rare in tweets, count `negative_factor`
    times in three-class corpora, because the figure that counts there is macro recall.
    """
    parts, repeats = [], []
    for name, times in epochs.items():
        part = encode(read(name, data_dir), tokenizer, CORPORA[name].misc_known)
        each = np.full(len(part), times)
        if (part.sentiment == 1).any():
            each[part.sentiment == 0] *= negative_factor
        parts.append(part)
        repeats.append(each)
    return concatenate(parts), np.concatenate(repeats)
