"""A document as a line of tokens, and its entities as runs of these: what CoNLL and spaCy know of a text."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

# Part of speech of what stands between the words of a document and is no space.
UNKNOWN = "X"
_VISIBLE = re.compile(r"\S+")


class Token(NamedTuple):
    """A piece of a text without spaces around it.

    Attributes:
        start: First code point.
        end: One past the last.
        pos: Universal part of speech.
    """

    start: int
    end: int
    pos: str


class TokenRun(NamedTuple):
    """An entity as a run of tokens.

    Attributes:
        first: Number of its first token.
        last: Number of the token behind it.
        label: Its type.
    """

    first: int
    last: int
    label: str


@dataclass(slots=True)
class RunCounts:
    """What became of entities that are no runs of whole tokens.

    Attributes:
        entities: Entities that are written.
        widened: Those of them that cut a token, and now hold all of it.
        left_out: Entities that are not written, as a longer one holds their token after widening, or they hold no token.
    """

    entities: int = 0
    widened: int = 0
    left_out: int = 0


def tokens_of(text: str, words: Sequence[Mapping[str, Any]]) -> list[Token]:
    """Cut a text into its words, and what stands between them and is no space.

    Args:
        text: The text.
        words: As the column `words` has them, sorted.

    Returns:
        The tokens, sorted; none overlaps another, and together they hold all of the text but spaces.
    """
    found: list[Token] = []
    at = 0
    for word in words:
        start, end = max(word["start"], at), min(word["end"], len(text))
        if start < end:
            found += _between(text, at, start)
            found.append(Token(start, end, word["pos"]))
            at = end
    return [*found, *_between(text, at, len(text))]


def _between(text: str, start: int, end: int) -> list[Token]:
    return [Token(*match.span(), UNKNOWN) for match in _VISIBLE.finditer(text, start, end)] if start < end else []


def runs_of(tokens: Sequence[Token], entities: Sequence[Mapping[str, Any]], counts: RunCounts) -> list[TokenRun]:
    """Lay entities over tokens: one that cuts a token is widened to all of it.

    Args:
        tokens: From `tokens_of`.
        entities: As the column `entities` has them.
        counts: Added to.

    Returns:
        The runs, sorted. Of those that would overlap the entity with most code points is there, of equal ones the first.
    """
    starts, ends = [token.start for token in tokens], [token.end for token in tokens]
    taken: set[int] = set()
    found = []
    for entity in sorted(entities, key=lambda one: (one["start"] - one["end"], one["start"])):
        first, last = bisect_right(ends, entity["start"]), bisect_left(starts, entity["end"])
        if first >= last or not taken.isdisjoint(range(first, last)):
            counts.left_out += 1
            continue
        taken.update(range(first, last))
        counts.entities += 1
        counts.widened += starts[first] < entity["start"] or ends[last - 1] > entity["end"]
        found.append(TokenRun(first, last, entity["label"]))
    return sorted(found)
