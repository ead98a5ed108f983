"""What the speech model is told before it listens: names of the corpus, so that it hears them and not words that sound alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.runtime.script import languages

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
    low, high = 0, len(fitting)
    while low < high:  # the most names that fit, by halving
        middle = (low + high + 1) // 2
        fits = len(tokens_of(_text(fitting[:middle], lang))) <= budget_tokens
        low, high = (middle, high) if fits else (low, middle - 1)
    return tokens_of(_text(fitting[:low], lang)) if low else []


def is_echo(text: str, prompt: str, names: Sequence[str]) -> bool:
    """Tell whether a text is not what was said but a piece of the prompt, as models give where nothing can be understood.

    Args:
        text: What came out.
        prompt: What the model was told.
        names: The names in it; one alone may well have been said.

    Returns:
        Whether it stands in the prompt, and is more than one name.
    """
    plain = _letters(text)
    return bool(plain) and plain in _letters(prompt) and plain not in map(_letters, names)


def _letters(text: str) -> str:
    return "".join(one for one in text.casefold() if one.isalnum())


def _text(names: Sequence[str], lang: str) -> str:
    return f" {BETWEEN[lang].join(names)}{END[lang]}"
