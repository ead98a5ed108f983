"""The statistics of a report, each over N items at once.

G2: T. Dunning, Accurate methods for the statistics of surprise and coincidence, Computational Linguistics 19(1), 1993; the
threshold for it: P. Rayson, D. Berridge, B. Francis, Extending the Cochran rule for the comparison of word frequencies between
corpora, JADT 2004. NPMI: G. Bouma, Normalized (pointwise) mutual information in collocation extraction, GSCL 2009.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]
# p < 0.0001 at one degree of freedom: at this level G2 holds with expected counts down to 1 (Rayson et al.).
G2_MIN = 15.13
DOCUMENTS_MIN = 3


def g2(now: npt.ArrayLike, documents_now: int, before: npt.ArrayLike, documents_before: int) -> Reals:
    """Compute the log-likelihood ratio of [[now, rest of now], [before, rest of before]] (Dunning, 1993).

    If both shares are equal in truth, it is distributed as chi-square with one degree of freedom.

    Args:
        now: Documents of now that hold each item, shape (n,).
        documents_now: All documents of now.
        before: Documents of before that hold each item, shape (n,).
        documents_before: All documents of before.

    Returns:
        float64, shape (n,), none below 0; 0 where either side has no documents.
    """
    a, b = np.asarray(now, np.float64), np.asarray(before, np.float64)
    total = float(documents_now + documents_before)
    if not documents_now or not documents_before:
        return np.zeros_like(a)
    held = a + b
    cells = [
        (a, held * documents_now),
        (documents_now - a, (total - held) * documents_now),
        (b, held * documents_before),
        (documents_before - b, (total - held) * documents_before),
    ]
    return np.maximum(0.0, 2 * sum((_term(seen, product / total) for seen, product in cells), np.zeros_like(a)))


def _term(seen: Reals, expected: Reals) -> Reals:
    out = np.zeros_like(seen)
    there = seen > 0
    out[there] = seen[there] * np.log(seen[there] / expected[there])
    return out


def ratio(now: npt.ArrayLike, documents_now: int, before: npt.ArrayLike, documents_before: int) -> Reals:
    """Compute the share of now over the share of before, smoothed so that it is finite also where an item was in no document.

    0.5 is added to the count of each item, and 1 to each number of documents.

    Args:
        now: Documents of now that hold each item, shape (n,).
        documents_now: All documents of now.
        before: Documents of before that hold each item, shape (n,).
        documents_before: All documents of before.

    Returns:
        float64, shape (n,), all above 0.
    """
    a, b = np.asarray(now, np.float64), np.asarray(before, np.float64)
    return np.asarray((a + 0.5) / (documents_now + 1) / ((b + 0.5) / (documents_before + 1)))


def expected(now: npt.ArrayLike, documents_now: int, before: npt.ArrayLike, documents_before: int) -> Reals:
    """Compute how many documents of now would hold an item if its share were that of now and before together.

    Args:
        now: Documents of now that hold each item, shape (n,).
        documents_now: All documents of now.
        before: Documents of before that hold each item, shape (n,).
        documents_before: All documents of before.

    Returns:
        float64, shape (n,).
    """
    total = max(1, documents_now + documents_before)
    return np.asarray((np.asarray(now, np.float64) + np.asarray(before, np.float64)) * documents_now / total)


def rises(now: npt.ArrayLike, documents_now: int, before: npt.ArrayLike, documents_before: int) -> npt.NDArray[Any]:
    """Whether each item rises: it is in 3 documents of now or more, its share has grown, and its G2 is 15.13 or more.

    Args:
        now: Documents of now that hold each item, shape (n,).
        documents_now: All documents of now.
        before: Documents of before that hold each item, shape (n,).
        documents_before: All documents of before.

    Returns:
        bool, shape (n,).
    """
    a = np.asarray(now, np.float64)
    more = ratio(now, documents_now, before, documents_before) > 1
    return (a >= DOCUMENTS_MIN) & more & (g2(now, documents_now, before, documents_before) >= G2_MIN)


def lift(both: npt.ArrayLike, one: npt.ArrayLike, other: npt.ArrayLike, documents: int) -> Reals:
    """Compute P(a, b) / (P(a) P(b)) from counts of documents.

    Args:
        both: Documents that hold both items of each pair, shape (n,).
        one: Documents that hold the first item, at least 1, shape (n,).
        other: Documents that hold the second item, at least 1, shape (n,).
        documents: All documents.

    Returns:
        float64, shape (n,); 1 where the two stand together as often as by chance.
    """
    ab, a, b = (np.asarray(x, np.float64) for x in (both, one, other))
    return np.asarray(ab * documents / (a * b))


def npmi(both: npt.ArrayLike, one: npt.ArrayLike, other: npt.ArrayLike, documents: int) -> Reals:
    """Compute normalized pointwise mutual information, ln(lift) / -ln P(a, b) (Bouma, 2009).

    Args:
        both: Documents that hold both items of each pair, at least 1, shape (n,).
        one: Documents that hold the first item, at least 1, shape (n,).
        other: Documents that hold the second item, at least 1, shape (n,).
        documents: All documents.

    Returns:
        float64, shape (n,), above -1: 0 as often as by chance, 1 only together (also if all documents hold both). -1 is the limit
        for items that never stand together; for 0 in `both` the result is NaN.
    """
    ab = np.asarray(both, np.float64)
    always = ab >= documents
    surprise = -np.log(np.where(always, 0.5, ab / max(1, documents)))
    return np.where(always, 1.0, np.log(lift(both, one, other, documents)) / surprise)
