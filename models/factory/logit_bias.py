"""The balance of neutral against the other sentiments, set on training texts.

A mix with two-class corpora makes neutral rare, so a model learns to call too few texts neutral. One number, added to the
neutral logit, mends that; it does not change whether a text is more positive or more negative.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from models.factory.examples import Examples, sweep
from models.runtime.encoder import TokenModel
from models.runtime.labels import SENTIMENTS

NEUTRAL = SENTIMENTS.index("neutral")
CANDIDATES = np.linspace(-3.0, 3.0, 121)


def neutral_bias(logits: npt.NDArray[np.floating], gold: npt.NDArray[np.integer]) -> float:
    """Find what to add to the neutral logit for the best macro recall.

    Args:
        logits: Shape (D, 3).
        gold: True sentiments, 0, 1 or 2, shape (D,).

    Returns:
        The bias.
    """

    def recall(bias: float) -> float:
        shifted = np.array(logits, dtype=np.float64)
        shifted[:, NEUTRAL] += bias
        found = shifted.argmax(axis=1)
        return float(np.mean([np.mean(found[gold == label] == label) for label in np.unique(gold)]))

    # Of equals, the smallest change.
    return float(max(CANDIDATES, key=lambda bias: (recall(bias), -abs(bias))))


def three_class(examples: Examples, corpus: npt.NDArray[np.integer], most: int, seed: int) -> npt.NDArray[np.int64]:
    """Choose texts with a gold sentiment, of the corpora that know neutral.

    Args:
        examples: The texts.
        corpus: Number of each text's corpus, shape (D,).
        most: At most so many.
        seed: Draws them.

    Returns:
        Numbers of the texts, int64.
    """
    neutral = np.unique(corpus[examples.sentiment == NEUTRAL])
    docs = np.flatnonzero(np.isin(corpus, neutral) & (examples.sentiment >= 0))
    return np.sort(np.random.default_rng(seed).permutation(docs)[:most])


def fit_logit_bias(model: TokenModel, examples: Examples, docs: npt.NDArray[np.int64]) -> float:
    """Set the neutral bias of a model, in place.

    Args:
        model: The model.
        examples: The texts.
        docs: Numbers of those that it is fitted on.

    Returns:
        What was added, 0.0 if there are no texts.
    """
    if not len(docs):
        return 0.0
    part = examples.take(docs)
    logits = np.zeros((len(docs), len(SENTIMENTS)))
    model.eval()
    with torch.inference_mode():
        for batch in sweep(part, 2048):
            logits[batch.docs] = model(batch.ids, batch.cases, batch.mask)[1].float().numpy()
    bias = neutral_bias(logits, part.sentiment)
    with torch.no_grad():
        model.sentiment_head.bias[NEUTRAL] += bias
    return bias
