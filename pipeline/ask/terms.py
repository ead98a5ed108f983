"""What passages are found by: stems of English words, pairs of Chinese characters in simplified script."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

from pipeline.ask.chinese import HAN, simplified

# Words that say nothing of what a question is about.
STOP = frozenset(
    "a an and are as at be been being but by can could did do does for from had has have he her his how i in is it its me my "
    "of on or our she so that the their them there they this to was we were what when where which who whom whose why will "
    "with would you your".split()
)


@lru_cache(maxsize=1)
def _english() -> Any:
    from tantivy import Filter, TextAnalyzerBuilder, Tokenizer

    builder = TextAnalyzerBuilder(Tokenizer.simple()).filter(Filter.lowercase()).filter(Filter.ascii_fold())
    return builder.filter(Filter.remove_long(60)).filter(Filter.stemmer("English")).build()


def characters_of(text: str) -> list[str]:
    """Find the single Chinese characters of a text.

    Args:
        text: A passage or a question.

    Returns:
        The characters in simplified script, in order.

    Raises:
        ConfigError: The text holds Chinese characters, and OpenCC is not installed.
    """
    return [one for run in HAN.findall(simplified(unicodedata.normalize("NFKC", text))) for one in run]


def terms_of(text: str, question: bool = False) -> list[str]:
    """Find the terms of a text.

    Args:
        text: A passage or a question.
        question: Whether words that say nothing are left out.

    Returns:
        Stems of words, and pairs of neighbouring Chinese characters (single ones where they stand alone), in order.

    Raises:
        ConfigError: The text holds Chinese characters, and OpenCC is not installed.
    """
    text = simplified(unicodedata.normalize("NFKC", text))
    found: list[str] = []
    rest = HAN.sub(" ", text)
    if question:
        rest = " ".join(word for word in re.findall(r"[^\W_]+", rest) if word.lower() not in STOP)
    found += _english().analyze(rest)
    for run in HAN.findall(text):
        found += [run[i : i + 2] for i in range(len(run) - 1)] or [run]
    return found
