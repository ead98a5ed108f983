"""The language of a text: by its script, then by the commonest words of English, then by a library (py3langid, offline).

The library is asked only where the first two do not decide, for it takes a hundred times as long.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from models.runtime.script import languages

# Words that hardly occur in other languages of Latin letters: one in ten of a text's words decides for English.
COMMON_ENGLISH = frozenset(
    "the and you that it with this are have not my your they but his from were would there their what which who when out "
    "if about all i'm it's don't can't just how our than then says said after first she".split()
)
ONE_IN = 10
# What is read of a text, in characters.
HEAD = 600
# The library says another language than English with this probability or more, of at least so many letters: else English.
SURE, LETTERS = 0.98, 24
_ADDRESS = re.compile(r"[A-Za-z]+://[!-~]+|@[A-Za-z0-9_]+")


def identify(texts: Sequence[str]) -> list[str | None]:
    """Identify the language of texts, by script, common English words, and only then by a statistical identifier.

    A text in Latin letters counts as English unless the identifier is sure of another language; one in Han characters is Chinese.
    URLs and @user names are ignored. Of a text in Latin letters only the first HEAD characters are looked at.

    Args:
        texts: Texts in any languages.

    Returns:
        ISO 639-1 code of each text; None for one without letters.
    """
    texts = [_ADDRESS.sub(" ", text) if "://" in text or "@" in text else text for text in texts]
    found = languages(texts)
    return [_latin(text[:HEAD]) if lang == "en" else lang for text, lang in zip(texts, found, strict=True)]


def _latin(text: str) -> str:
    words = text.lower().split()
    if ONE_IN * sum(word in COMMON_ENGLISH for word in words) >= len(words):
        return "en"
    if sum(map(str.isalpha, text)) < LETTERS:
        return "en"
    lang, probability = _identifier().classify(" ".join(word for word in words if word.isalpha()))
    return str(lang) if probability >= SURE else "en"


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
