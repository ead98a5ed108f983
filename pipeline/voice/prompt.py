"""What the speech model is told before it listens: names of the corpus, so that it hears them and not words that sound alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.runtime.script import languages

# Before the names: the model goes on in the script and with the punctuation of what it has just read.
OPENING = {"en": "", "zh": "以下是普通话的问题。"}
BETWEEN = {"en": ", ", "zh": "、"}
END = {"en": ".", "zh": "。"}


def prompt_of(names: Sequence[str], lang: str, tokens_of: Callable[[str], list[int]], budget_tokens: int) -> list[int]:
    """Make a prompt of as many names as it holds.

    Args:
        names: Names that may be heard, the likeliest first; those in another script than the language's are left out.
        lang: en or zh.
        tokens_of: Tokenizes a text.
        budget_tokens: Tokens at most. Names are never cut.

    Returns:
        The prompt's tokens; none where there is nothing to say.
    """
    fitting = [name for name, script in zip(names, languages(names), strict=True) if script == lang]
    opening, low, high = OPENING[lang], 0, len(fitting)
    while low < high:  # the most names that fit, by halving
        middle = (low + high + 1) // 2
        fits = len(tokens_of(_text(opening, fitting[:middle], lang))) <= budget_tokens
        low, high = (middle, high) if fits else (low, middle - 1)
    text = _text(opening, fitting[:low], lang)
    return tokens_of(text) if text else []


def _text(opening: str, names: Sequence[str], lang: str) -> str:
    return f" {opening}{BETWEEN[lang].join(names)}{END[lang]}" if names else opening
