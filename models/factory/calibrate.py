"""Calibration of the sentiment scores on real posts: a temperature and a bias for each class, fitted by maximum likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from models.factory.evaluate import macro_f1
from models.factory.probabilities import expected_calibration_error
from models.runtime.encoder import TokenModel

FOLDS = 5
# What the bias costs, for each unit squared: few posts must not move it far.
PULL = 0.01

Float = npt.NDArray[np.floating]


def fit(logits: Float, gold: npt.NDArray[np.integer]) -> tuple[float, npt.NDArray[np.float64]]:
    """Fit temperature and class biases with which softmax((logits + bias) / temperature) has the best likelihood.

    This is temperature scaling (Guo et al., 2017) with a bias for each class. The biases are penalised by PULL times the square
    of bias / temperature, so that a few posts cannot move them far.

    Args:
        logits: Logits of the classes, shape (n, 3).
        gold: True sentiments, 0, 1 or 2, shape (n,).

    Returns:
        The temperature, and the biases, whose mean is 0, float64, shape (3,).
    """
    scores, labels = torch.from_numpy(np.asarray(logits, np.float64)), torch.from_numpy(np.asarray(gold, np.int64))
    # As scores * slope + offset this is convex: one minimum, which is found.
    log_slope = torch.zeros((), dtype=torch.float64, requires_grad=True)
    offset = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_slope, offset], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(scores * log_slope.exp() + offset, labels) + PULL * (offset**2).sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)
    slope = float(log_slope.detach().exp())
    bias = offset.detach().numpy() / slope
    return 1 / slope, bias - bias.mean()


def calibrated(logits: Float, temperature: float, bias: Float) -> npt.NDArray[np.float64]:
    """Compute the calibrated probabilities softmax((logits + bias) / temperature).

    Args:
        logits: Logits of the classes, shape (n, 3).
        temperature: Above 0; above 1 makes the scores less confident.
        bias: What is added to the logit of each class, shape (3,).

    Returns:
        Probabilities of the classes, float64, shape (n, 3).
    """
    scaled = (np.asarray(logits, np.float64) + bias) / temperature
    out = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    result: npt.NDArray[np.float64] = out / out.sum(axis=1, keepdims=True)
    return result


def across(logits: Float, gold: npt.NDArray[np.integer], seed: int) -> dict[str, float]:
    """Measure by cross-validation what calibration reaches on posts that it was not fitted on.

    Args:
        logits: Logits of the classes, shape (n, 3).
        gold: True sentiments, 0, 1 or 2, shape (n,).
        seed: Seed of the assignment of posts to the FOLDS folds.

    Returns:
        In per cent, rounded to two decimals: `macro_f1`; `negative_precision`, the share of truly negative posts among those that
        are called negative (100 if none is); and `sentiment_ece`, the expected calibration error.
    """
    fold = np.random.default_rng(seed).permutation(len(gold)) % FOLDS
    p = np.zeros((len(gold), 3))
    for number in range(FOLDS):
        mine = fold == number
        p[mine] = calibrated(logits[mine], *fit(logits[~mine], gold[~mine]))
    found = p.argmax(axis=1)
    negative = found == 0
    figures = {
        "macro_f1": macro_f1(gold, found),
        "negative_precision": float(np.mean(gold[negative] == 0)) if negative.any() else 1.0,
        "sentiment_ece": expected_calibration_error(p.max(axis=1), found == gold),
    }
    return {key: round(100 * value, 2) for key, value in figures.items()}


def calibrate(model: TokenModel, scores: Float, gold: npt.NDArray[np.integer], seed: int) -> dict[str, Any]:
    """Fit temperature and class biases to gold posts and fold them into the model's sentiment head, in place.

    Args:
        model: Model whose sentiment head is changed.
        scores: Probabilities that the model gives the classes of the posts before this call, shape (n, 3).
        gold: True sentiments of the posts, 0, 1 or 2, shape (n,).
        seed: Seed of the folds of the cross-validation.

    Returns:
        The fitted `temperature`, the `bias` of each class, the number of `folds`, and as `across` what `across` measures.
    """
    logits = np.log(np.maximum(np.asarray(scores, np.float64), 1e-9))
    temperature, bias = fit(logits, gold)
    head = model.sentiment_head
    with torch.no_grad():
        head.bias.copy_((head.bias + torch.from_numpy(bias).to(head.bias.dtype)) / temperature)
        head.weight /= temperature
    return {"temperature": temperature, "bias": [float(b) for b in bias], "folds": FOLDS, "across": across(logits, gold, seed)}
