"""From probabilities to spans."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.runtime.decode import entity_spans, word_probabilities
from models.runtime.labels import ENTITY_TAGS, ENTITY_TYPES


def certain(*tags: str) -> np.ndarray:
    p = np.full((len(tags), len(ENTITY_TAGS)), 0.01, dtype=np.float32)
    for row, tag in enumerate(tags):
        p[row, ENTITY_TAGS.index(tag)] = 1.0
    return p / p.sum(axis=1, keepdims=True)


def spans(p, new_doc=None):
    fresh = np.zeros(len(p), dtype=bool) if new_doc is None else np.array(new_doc, dtype=bool)
    first, last, kind, _ = entity_spans(p, fresh)
    return [(a, b, ENTITY_TYPES[k]) for a, b, k in zip(first.tolist(), last.tolist(), kind.tolist(), strict=True)]


def test_place_and_type_are_decided_apart():
    assert spans(certain("O", "B-PER", "I-PER", "B-PER", "O")) == [(1, 2, "PER"), (3, 3, "PER")]
    assert spans(certain("B-ORG", "I-LOC", "I-ORG")) == [(0, 2, "ORG")]
    assert spans(certain("I-LOC", "O", "I-MISC")) == [(0, 0, "LOC"), (2, 2, "MISC")]
    assert spans(certain("B-LOC", "I-LOC"), [True, True]) == [(0, 0, "LOC"), (1, 1, "LOC")]
    assert spans(certain()) == []


def test_no_entity_cuts_a_word():
    p = word_probabilities(certain("B-PER", "O", "B-PER", "I-PER"), np.array([True, False, False, True]))
    assert spans(p) == [(0, 1, "PER")]
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


@given(st.lists(st.tuples(st.sampled_from(ENTITY_TAGS), st.booleans()), max_size=40))
def test_spans_lie_apart_and_in_order(units):
    p = certain(*(tag for tag, _ in units))
    new_doc = [fresh for _, fresh in units]
    found = spans(p, new_doc)
    for (_, last, _), (first, _, _) in pairwise(found):
        assert last < first
    inside = {i for first, last, _ in found for i in range(first, last + 1)}
    assert inside == {i for i, (tag, _) in enumerate(units) if tag != "O"}
    assert not any(new_doc[i] for first, last, _ in found for i in range(first + 1, last + 1))


def test_scores_are_means():
    _, _, _, score = entity_spans(certain("B-PER", "I-PER"), np.zeros(2, dtype=bool))
    expected = certain("B-PER")[0]
    assert score[0] == pytest.approx(expected[1] + expected[2], rel=1e-5)


@given(st.integers(0, 2**32 - 1))
def test_scores_of_a_text_do_not_hang_on_the_texts_beside_it(seed):
    """To the last bit: sums are those of the entity alone, and words of one unit are not computed anew."""
    rng = np.random.default_rng(seed)
    units = int(rng.integers(2, 40))
    p = rng.dirichlet(np.ones(1 + 2 * len(ENTITY_TYPES)), units).astype(np.float32)
    begins = rng.random(units) < rng.choice([0.6, 1.0])
    cut = int(rng.integers(1, units))
    begins[[0, cut]] = True

    def found(part):
        q = word_probabilities(p[part], begins[part])
        docs = np.zeros(len(q), dtype=bool)
        docs[0] = True
        if part == slice(None):
            docs[begins[:cut].sum()] = True
        first, _, kind, score = entity_spans(q, docs)
        return list(zip(first.tolist(), kind.tolist(), score.tolist(), strict=True))

    here, there, words = found(slice(0, cut)), found(slice(cut, None)), int(begins[:cut].sum())
    assert found(slice(None)) == here + [(first + words, kind, score) for first, kind, score in there]
