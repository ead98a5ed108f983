"""Stop words: spaCy's lists for English and Chinese, read from their modules without loading spaCy itself."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

from models.extras import install

LANGUAGES = ("en", "zh")
ABSENT = f"spacy is not installed, and its stop words with it: {install('spacy')} to get terms"


@cache
def stop_words(language: str) -> frozenset[str] | None:
    """Return the stop words of a language in lower case; None if spaCy is not installed.

    Args:
        language: ISO 639-1 code; for any other than en and zh, as for und (not known), the lists of both together.
    """
    if language not in LANGUAGES:
        lists = [stop_words(one) for one in LANGUAGES]
        return None if None in lists else frozenset().union(*(one for one in lists if one))
    spacy = find_spec("spacy")
    if spacy is None or spacy.origin is None:
        return None
    path = Path(spacy.origin).parent / "lang" / language / "stop_words.py"
    spec = spec_from_file_location(f"_textmill_stop_words_{language}", path)
    if spec is None or spec.loader is None or not path.is_file():
        return None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return frozenset(word.lower() for word in module.STOP_WORDS)
