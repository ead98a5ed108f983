"""The CoNLL format: a word a line, its tag in the last column, an empty line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from models.errors import LabelledDataError
from models.factory.own.spans import LabelledSpan

_TAG = re.compile(r"O|[BIMESLU]-(.+)")
# Neither before nor after a character of these scripts is a space.
_WITHOUT_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3000-\u303f\uff00-\uffef]")


def read_conll(lines: Iterable[str], name: str) -> Iterator[tuple[int, str, list[LabelledSpan]]]:
    """Read sentences of words and tags in the BIO, IO, BIOES, BMES or BILOU scheme.

    Columns are apart by a tab or a space; `-DOCSTART-` and comments before a sentence are skipped. Words are joined by a space,
    except beside Chinese or Japanese characters.

    Args:
        lines: Lines of the file.
        name: Its name, for messages.

    Yields:
        The number of the sentence's first line, its text, and its entities.

    Raises:
        LabelledDataError: A line has no tag, or one of another scheme.
    """
    words: list[str] = []
    tags: list[str] = []
    first = 0
    for number, line in enumerate([*lines, ""], 1):
        parts = [part.strip() for part in (line.split("\t") if "\t" in line else line.split(" "))]
        comment = parts[0] == "#" and not words and not _TAG.fullmatch(parts[-1])
        if parts[0] == "-DOCSTART-" or comment:
            continue
        if any(parts):
            if len(parts) < 2 or not parts[0]:
                raise LabelledDataError(f"{name}, line {number}: {line.strip()!r} has no tag; a line is a word and its tag")
            if not _TAG.fullmatch(parts[-1]):
                raise LabelledDataError(f"{name}, line {number}: {parts[-1]!r} is no tag of the BIO scheme (O, B-TYPE, I-TYPE)")
            if not words:
                first = number
            words.append(parts[0])
            tags.append(parts[-1])
        elif words:
            yield first, *_laid_out(words, tags)
            words, tags = [], []


def _laid_out(words: list[str], tags: list[str]) -> tuple[str, list[LabelledSpan]]:
    text, spans = "", list[LabelledSpan]()
    before = "O"
    for word, tag in zip(words, tags, strict=True):
        if text and not (_WITHOUT_SPACES.match(text[-1]) or _WITHOUT_SPACES.match(word)):
            text += " "
        start = len(text)
        text += word
        if tag != "O":
            # E and L end an entity, and so does S or U, which is one by itself.
            goes_on = tag[0] in "IMEL" and before[:1] in ("B", "I", "M") and before[2:] == tag[2:]
            spans.append(LabelledSpan(spans.pop().start if goes_on else start, len(text), tag[2:]))
        before = tag
    return text, spans
