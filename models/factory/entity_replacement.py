"""Training texts whose entities are replaced by other names of the same type (mention replacement, Dai and Adel, 2020).

Names are endless, so a model has to recognise one by its context. Texts with gold labels teach more names this way than they
hold, and a model that sees a text many times does not learn its names by heart.
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
    """List the entities of a record.

    Args:
        record: Its tags must be valid BIO: an I- only behind a tag of its entity; without tags it has no entities.

    Returns:
        First word, word behind the last, and type of each entity, in the order of the text.
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
    """Collect the distinct names in records, by entity type.

    Args:
        records: Records with BIO tags; others have no names.

    Returns:
        Type -> its names, sorted; every one of TYPES is a key.
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
    """Draw records with entities, with replacement, and exchange most of their names for others of the same type.

    Each entity is renamed with probability RENAMED; the source of its new name is drawn for each entity anew. Words must be
    single characters, since every character of a new name becomes a word of its own.

    Args:
        records: What is drawn from; only records with an entity of TYPES are drawn.
        wanted: Number of records drawn.
        rng: Draws records, entities, sources and names.
        sources: Type -> names, from each source; at least one source. An entity keeps its name if the source has none of its
            type.

    Returns:
        `wanted` records with text, words and tags alone; none if no record has an entity.
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
