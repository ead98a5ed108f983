"""Texts whose entities bear other names of the same type: what surrounds a name has to tell it, for names are endless.

So texts with gold labels teach more names than they hold (mention replacement, Dai and Adel 2020), and a model that has seen
them many times does not know them by heart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from models.factory.corpus_readers import LabelledText

# So many of a text's entities get another name.
RENAMED = 0.7
TYPES = ("PER", "ORG", "LOC")
Names = Mapping[str, Sequence[str]]


def entities(record: LabelledText) -> list[tuple[int, int, str]]:
    """Return the entities of a record with BIO tags: first word, word behind the last, type.

    Args:
        record: The record.
    """
    found: list[tuple[int, int, str]] = []
    for number, tag in enumerate(record.tags or ()):
        kind = tag[2:]
        if tag[:1] == "B":
            found.append((number, number + 1, kind))
        elif tag[:1] == "I":
            first, _, _ = found.pop()
            found.append((first, number + 1, kind))
    return found


def gold_names(records: Iterable[LabelledText]) -> dict[str, list[str]]:
    """Return every name of records once, by type.

    Args:
        records: Records with BIO tags.
    """
    found: dict[str, set[str]] = {kind: set() for kind in TYPES}
    for record in records:
        for first, behind, kind in entities(record):
            if kind in found:
                found[kind].add(record.text[record.words[first][0] : record.words[behind - 1][1]])
    return {kind: sorted(names) for kind, names in found.items()}


def with_entities_replaced(
    records: list[LabelledText], wanted: int, rng: np.random.Generator, sources: Sequence[Names]
) -> list[LabelledText]:
    """Make records in which a share of the entities has another name, from a source that is drawn for each.

    Records are of characters: every character of a name is a word of its own.

    Args:
        records: Records with BIO tags.
        wanted: How many.
        rng: Draws them.
        sources: Names by type.

    Returns:
        The records; labels stay on the names.
    """
    able = [record for record in records if any(kind in TYPES for _, _, kind in entities(record))]
    return [_rename(able[int(i)], rng, sources) for i in rng.integers(0, len(able), wanted)] if able else []


def _rename(record: LabelledText, rng: np.random.Generator, sources: Sequence[Names]) -> LabelledText:
    assert record.tags is not None
    changes: list[tuple[int, int, str, str]] = []
    for first, behind, kind in entities(record):
        names = sources[int(rng.integers(len(sources)))].get(kind, ())
        if names and rng.random() < RENAMED:
            changes.append((first, behind, kind, names[int(rng.integers(len(names)))]))
    last = len(record.words)
    text, at, copied = "", 0, 0
    words: list[tuple[int, int]] = []
    tags: list[str] = []
    for first, behind, kind, name in [*changes, (last, last, "", "")]:
        shift = len(text) - at
        words += [(start + shift, end + shift) for start, end in record.words[copied:first]]
        tags += record.tags[copied:first]
        text += record.text[at : record.words[first][0] if first < last else len(record.text)]
        words += [(len(text) + i, len(text) + i + 1) for i in range(len(name))]
        tags += [("I-" if i else "B-") + kind for i in range(len(name))]
        text += name
        at, copied = record.words[behind - 1][1], behind
    return LabelledText(text, tuple(words), tags=tuple(tags))
