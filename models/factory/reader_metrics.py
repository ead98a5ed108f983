"""How good answers are: exact match and F1 as SQuAD (Rajpurkar et al., 2016) and CMRC 2018 (Cui et al., 2019) count them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np
import numpy.typing as npt

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_CHINESE_MARKS = frozenset(
    "\uff0c\u3002\uff1a\uff1f\uff01\u201c\u201d\uff1b\u2019\u300a\u300b\u2026\u00b7\u3001\u300c\u300d\uff08\uff09"
    "\uff0d\uff5e\u300e\u300f\u2018"
)
_MARKS = frozenset(string.punctuation)
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff]")


def normalized(text: str) -> str:
    """Return an English answer as SQuAD compares it: lower case, without marks, articles and double spaces.

    Args:
        text: The answer.
    """
    text = "".join(char for char in text.lower() if char not in _MARKS)
    return " ".join(_ARTICLES.sub(" ", text).split())


def units_zh(text: str) -> list[str]:
    """Return a Chinese answer as CMRC compares it: characters of Han and words of other letters, without marks.

    Args:
        text: The answer.
    """
    text = "".join(" " if char in _MARKS or char in _CHINESE_MARKS else char for char in text.lower())
    return _HAN.sub(lambda match: f" {match[0]} ", text).split()


def exact(given: str, wanted: str, lang: str) -> bool:
    """Whether two answers are the same but for what does not count.

    Args:
        given: An answer.
        wanted: Another one.
        lang: en or zh.
    """
    if lang == "zh":
        return units_zh(given) == units_zh(wanted)
    return normalized(given) == normalized(wanted)


def f1(given: str, wanted: str, lang: str) -> float:
    """Measure how much two answers share: words that both have (en), or their longest common run of characters (zh).

    Args:
        given: An answer.
        wanted: Another one.
        lang: en or zh.

    Returns:
        0 to 1.
    """
    if lang == "zh":
        mine, theirs = units_zh(given), units_zh(wanted)
        shared = SequenceMatcher(None, mine, theirs, autojunk=False).find_longest_match().size
    else:
        mine, theirs = normalized(given).split(), normalized(wanted).split()
        shared = (Counter(mine) & Counter(theirs)).total()
    if not mine or not theirs:
        return float(mine == theirs)
    return 2 * shared / (len(mine) + len(theirs))


def answers_score(given: Sequence[str], wanted: Sequence[Sequence[str]], lang: str) -> tuple[float, float]:
    """Score answers to questions that have one.

    Args:
        given: An answer a question.
        wanted: The right answers of each; the best one counts.
        lang: en or zh.

    Returns:
        Exact match and F1, in per cent.
    """
    if not given:
        return 0.0, 0.0
    match = [max(exact(one, right, lang) for right in rights) for one, rights in zip(given, wanted, strict=True)]
    share = [max(f1(one, right, lang) for right in rights) for one, rights in zip(given, wanted, strict=True)]
    return 100 * sum(match) / len(match), 100 * sum(share) / len(share)


def precision_at(scores: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], share: float) -> float:
    """Measure how many of the surest answers are right.

    Args:
        scores: How sure each is, shape (n,).
        right: Whether it is right, shape (n,).
        share: Of the answers, the surest; 0 to 1.

    Returns:
        0 to 1.
    """
    kept = np.argsort(-scores, kind="stable")[: max(1, round(share * len(scores)))]
    return float(right[kept].mean())
