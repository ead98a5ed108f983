"""Documents cut into passages: a few sentences each, whose places in the document are known."""

from __future__ import annotations

import re
from collections.abc import Iterator

# A passage has about so many characters: the reader sees a question and a passage in one short window.
CHARACTERS = 250
# So much on either side of a passage, and at the beginning of its document, says what it is about.
AROUND, HEAD = 500, 100
# Ends of sentences: marks of Latin scripts with space behind them, of Chinese without, and line breaks.
_END = re.compile(r"(?<=[.!?\u2026])[\"'\u2019\u201d)\]]*\s+|(?<=[\u3002\uff01\uff1f\uff1b])[\u201d\u300d\u300f]*|\s*\n\s*")


def cut_passages(text: str, characters: int = CHARACTERS) -> Iterator[tuple[int, int]]:
    """Cut a text at the ends of sentences; a sentence that is longer is cut at a space, or anywhere where there is none.

    Args:
        text: The text.
        characters: What a passage has at most, in code points.

    Yields:
        Beginning and end of each passage, in code points. Nothing but white space lies between them.
    """
    begin, last = 0, 0
    for end in _ends(text):
        if end - begin > characters and last > begin:
            yield from _trimmed(text, begin, last)
            begin = last
        while end - begin > characters:
            space = text.rfind(" ", begin + characters // 2, begin + characters)
            cut = space + 1 if space > 0 else begin + characters
            yield from _trimmed(text, begin, cut)
            begin = cut
        last = end
    yield from _trimmed(text, begin, len(text))


def surroundings(text: str, start: int, end: int) -> str:
    """Return a passage with what stands around it: often only that names what the passage speaks of.

    Args:
        text: The document.
        start: Where the passage begins.
        end: Where it ends.
    """
    first = max(0, start - AROUND)
    head = text[: min(HEAD, first)]
    return f"{head} {text[first : end + AROUND]}" if head else text[first : end + AROUND]


def _ends(text: str) -> Iterator[int]:
    for match in _END.finditer(text):
        if match.end() > 0:
            yield match.end()
    yield len(text)


def _trimmed(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    part = text[begin:end]
    inner = part.strip()
    if inner:
        first = begin + part.index(inner[0]) if part[0].isspace() else begin
        yield first, first + len(inner)
