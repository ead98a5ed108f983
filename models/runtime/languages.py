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
# Languages of Latin letters that the library tells apart; without those that hardly anybody writes it is right far more often.
LATIN_LANGUAGES = tuple("en ca cs da de es et fi fr hr hu id it lt lv nl no pl pt ro sk sl sv sw tl tr vi".split())
# Another language than English has to be so probable, and a text of it so many words long: else it is English.
PROBABLE, WORDS = 0.55, 4
# ... and so many times as probable as English, which most texts are: "We met in Lyon" is Dutch too, word for word.
TIMES_ENGLISH = 20
# Names sound like other languages: where most words begin with a capital letter, more is asked for.
PROBABLE_NAMES, SMALL_WORDS = 0.9, 2
# Of Han characters so many are about a word; of words that look like names so many weigh as much as one that does not.
HAN_A_WORD, NAMES_A_WORD = 1.6, 4
_ADDRESS = re.compile(r"[A-Za-z]+://[!-~]+|@[A-Za-z0-9_]+")
_WORD = re.compile(r"(?<![\w#])[^\W\d_]+(?:['\u2019][^\W\d_]+)?(?!\w)")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LATIN_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]+")


def identify(texts: Sequence[str]) -> list[str | None]:
    """Identify the language of texts, by script, common English words, and only then by a statistical identifier.

    A text in Latin letters counts as English unless it has four or more words that the identifier finds in another language; one
    in Han characters is Chinese, also where Latin names have more letters than it has characters. URLs and @user names are
    ignored. Of a text in Latin letters only the first HEAD characters are looked at.

    Args:
        texts: Texts in any languages.

    Returns:
        ISO 639-1 code of each text; None for one without letters.
    """
    texts = [_ADDRESS.sub(" ", text) if "://" in text or "@" in text else text for text in texts]
    found = languages(texts)
    return [_latin(text[:HEAD]) if lang == "en" else lang for text, lang in zip(texts, found, strict=True)]


def _latin(text: str) -> str:
    if not text.isascii() and _han_carries(text):
        return "zh"
    words = text.lower().split()
    if ONE_IN * sum(word in COMMON_ENGLISH for word in words) >= len(words):
        return "en"
    words = _WORD.findall(text)
    small = [word for word in words if word[0].islower()]
    if len(words) < WORDS or len(small) < SMALL_WORDS:
        return "en"
    (lang, probability), *others = _identifier().rank(" ".join(words).lower())
    if probability < TIMES_ENGLISH * dict(others).get("en", 0):
        return "en"
    if 2 * len(small) >= len(words):
        return str(lang) if probability >= PROBABLE else "en"
    return str(lang) if probability >= PROBABLE_NAMES and _identifier().classify(" ".join(small))[0] != "en" else "en"


def _han_carries(text: str) -> bool:
    """Whether a text of both scripts is a Chinese sentence with Latin names in it, and not the other way round."""
    han = len(_HAN.findall(text))
    if han < 2:
        return False
    words = set(_LATIN_WORD.findall(text))
    plain: int = sum(word.islower() and len(word) > 1 for word in words)
    return bool(han / HAN_A_WORD >= plain + (len(words) - plain) / NAMES_A_WORD)


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(LATIN_LANGUAGES))
    return identifier
