"""Texts with other names: labels stay on the names, everything else stays as it was."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.factory.corpus_readers import LabelledText
from models.factory.entity_replacement import entities, gold_names, with_entities_replaced

KINDS = ("PER", "ORG", "LOC", "MISC")
SOURCE = {"PER": ["阿", "诸葛亮"], "ORG": ["联合国大会"], "LOC": ["x城"]}


@st.composite
def records(draw):
    """A text of stretches, each outside or an entity, some with spaces before them."""
    text, words, tags = "", [], []
    for kind in draw(st.lists(st.sampled_from((*KINDS, "")), min_size=1, max_size=6)):
        text += draw(st.sampled_from(("", " ")))
        for number in range(draw(st.integers(1, 3))):
            words.append((len(text), len(text) + 1))
            tags.append(("I-" if number else "B-") + kind if kind else "O")
            text += draw(st.sampled_from("甲乙丙"))
    return LabelledText(text, tuple(words), tags=tuple(tags))


def parts(record, inside):
    """The surfaces of the entities, or what lies between them."""
    at, between, surfaces = 0, [], []
    for first, behind, kind in entities(record):
        start, end = record.words[first][0], record.words[behind - 1][1]
        between.append(record.text[at:start])
        surfaces.append((record.text[start:end], kind))
        at = end
    return surfaces if inside else [*between, record.text[at:]]


@settings(deadline=None)
@given(records(), st.integers(0, 99))
def test_only_names_change(record, seed):
    made = with_entities_replaced([record], 3, np.random.default_rng(seed), [SOURCE, {}])
    if not any(kind in SOURCE for _, kind in parts(record, True)):
        assert made == []
        return
    for other in made:
        assert parts(other, False) == parts(record, False)
        assert len(other.words) == len(other.tags)
        assert all(end - start == 1 for start, end in other.words)
        for (before, kind), (after, same) in zip(parts(record, True), parts(other, True), strict=True):
            assert kind == same
            assert after == before or after in SOURCE[kind]


def test_names_do_change_and_come_from_every_source():
    record = LabelledText("去甲乙", ((0, 1), (1, 2), (2, 3)), tags=("O", "B-LOC", "I-LOC"))
    made = {
        other.text
        for other in with_entities_replaced([record], 200, np.random.default_rng(0), [{"LOC": ["海"]}, {"LOC": ["山城"]}])
    }
    assert made == {"去甲乙", "去海", "去山城"}


def test_names_of_gold_are_listed_once():
    record = LabelledText("甲乙甲", ((0, 1), (1, 2), (2, 3)), tags=("B-PER", "B-ORG", "B-PER"))
    assert gold_names([record, record]) == {"PER": ["甲"], "ORG": ["乙"], "LOC": []}
