"""The balance of neutral against the other sentiments, set on training texts.

A mix with two-class corpora makes neutral rare, so that a model calls too few texts neutral. A constant added to the neutral
logit corrects that and leaves it as it is whether a text is more positive or more negative.
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
    """Find what must be added to the neutral logit for the best macro recall.

    Args:
        logits: Sentiment logits, shape (D, 3).
        gold: True classes, 0 to 2, int, shape (D,); recall is averaged over those that occur.

    Returns:
        The best of CANDIDATES; of equally good ones the smallest in size.
    """

    def recall(bias: float) -> float:
        shifted = np.array(logits, dtype=np.float64)
        shifted[:, NEUTRAL] += bias
        found = shifted.argmax(axis=1)
        return float(np.mean([np.mean(found[gold == label] == label) for label in np.unique(gold)]))

    # Of equals, the smallest change.
    return float(max(CANDIDATES, key=lambda bias: (recall(bias), -abs(bias))))


def three_class(examples: Examples, corpus: npt.NDArray[np.integer], most: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw texts with gold sentiment from the corpora that know neutral.

    A corpus knows neutral if one of its texts has that label.

    Args:
        examples: D texts.
        corpus: Number of each text's corpus, int, shape (D,).
        most: Texts that are drawn at most.
        seed: Fixes the draw.

    Returns:
        Numbers of the texts, ascending, int64.
    """
    neutral = np.unique(corpus[examples.sentiment == NEUTRAL])
    docs = np.flatnonzero(np.isin(corpus, neutral) & (examples.sentiment >= 0))
    return np.sort(np.random.default_rng(seed).permutation(docs)[:most])


def fit_logit_bias(model: TokenModel, examples: Examples, docs: npt.NDArray[np.int64]) -> float:
    """Fit the neutral bias of a model on some texts and add it to its sentiment head, in place.

    Args:
        model: On the CPU; left in evaluation mode.
        examples: What the texts are taken from.
        docs: Numbers of the texts, int64; their sentiments must be 0 to 2, as `three_class` draws them.

    Returns:
        What was added to the neutral logit; 0.0 if there are no texts.
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
