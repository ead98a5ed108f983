"""Probabilities of being right, made of margins by logistic regression, and how far off they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Margins beyond this say no more.
CLIP = 50.0


def fit_calibration(margins: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    """Find weights of the margins that make a probability of them, by logistic regression (Platt, 1999) with Newton's method.

    Args:
        margins: Of each answer, shape (n, k).
        right: Whether the answer is right, shape (n,).

    Returns:
        The weight of each margin, and the constant.
    """
    x = np.column_stack([np.clip(margins, -CLIP, CLIP), np.ones(len(right))])
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (p - right) + 1e-3 * weights
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(len(weights))
        step = np.linalg.solve(hessian, gradient)
        weights -= step
        if np.abs(step).max() < 1e-9:
            break
    return tuple(weights.tolist())


def probability(margins: npt.NDArray[np.float64], weights: Sequence[float]) -> npt.NDArray[np.float64]:
    """Compute what `fit_calibration` has fitted.

    Args:
        margins: Of each answer, shape (n, k).
        weights: The weight of each margin, and the constant.

    Returns:
        Probabilities, float64, shape (n,).
    """
    *each, constant = weights
    found: npt.NDArray[np.float64] = 1 / (1 + np.exp(-(np.clip(margins, -CLIP, CLIP) @ each + constant)))
    return found


def expected_calibration_error(confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_], bins: int = 10) -> float:
    """Compute the expected calibration error (Guo et al., 2017).

    It is the distance between mean confidence and accuracy of each bin, averaged over bins of equal width, which are weighted by
    the number of answers in them.

    Args:
        confidence: Confidence of each answer, 0 to 1, shape (N,).
        right: Whether each answer is right, bool, shape (N,).
        bins: Number of bins from 0 to 1.

    Returns:
        The error, 0 (best) to 1; 0 without answers.
    """
    if not len(confidence):
        return 0.0
    which = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.bincount(which, weights=confidence - right, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))
