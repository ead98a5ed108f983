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
    """What to add to the neutral logit for the best macro recall; `logits` [D, 3], `gold` [D] in 0, 1, 2."""

    def recall(bias: float) -> float:
        shifted = np.array(logits, dtype=np.float64)
        shifted[:, NEUTRAL] += bias
        found = shifted.argmax(axis=1)
        return float(np.mean([np.mean(found[gold == label] == label) for label in np.unique(gold)]))

    # Of equals, the smallest change.
    return float(max(CANDIDATES, key=lambda bias: (recall(bias), -abs(bias))))


def three_class(examples: Examples, corpus: npt.NDArray[np.integer], most: int, seed: int) -> npt.NDArray[np.int64]:
    """At most `most` texts with a gold sentiment, of the corpora that know neutral; `corpus` [D] numbers the texts' corpora."""
    neutral = np.unique(corpus[examples.sentiment == NEUTRAL])
    docs = np.flatnonzero(np.isin(corpus, neutral) & (examples.sentiment >= 0))
    return np.sort(np.random.default_rng(seed).permutation(docs)[:most])


def fit_logit_bias(model: TokenModel, examples: Examples, docs: npt.NDArray[np.int64]) -> float:
    """Set the neutral bias of a model, in place, on the texts `docs`; gives what was added (0.0 if there are no texts)."""
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
