"""Passages: each character but white space is in exactly one, none is too long, and sentences stay whole where they fit."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ask.passages import CHARACTERS, cut_passages
from pipeline.ask.terms import terms_of

TEXT = st.text(st.sampled_from("ab .!?\n\u3002\uff01\u201d\u4e2d\u6587\u00a0\u2026)'"), max_size=400) | st.text(max_size=300)


@settings(deadline=None)
@given(TEXT, st.integers(5, 60))
def test_nothing_is_lost_and_nothing_twice(text, characters):
    found = list(cut_passages(text, characters))
    assert all(0 < end - start <= characters for start, end in found)
    assert all(one[1] <= two[0] for one, two in pairwise(found))
    inside = {i for start, end in found for i in range(start, end)}
    assert all(text[i].isspace() for i in range(len(text)) if i not in inside)
    assert all(text[start:end].strip() == text[start:end] for start, end in found)


def test_sentences_stay_whole():
    sentences = [f"Sentence number {i} says that Ms Keller went to Oslo." for i in range(40)]
    text = " ".join(sentences)
    found = [text[start:end] for start, end in cut_passages(text)]
    assert [one for part in found for one in part.replace(". S", ".|S").split("|")] == sentences
    assert max(map(len, found)) <= CHARACTERS < min(map(len, found[:-1])) + 60
    chinese = "\u674e\u96f7\u53bb\u4e86\u4e0a\u6d77\u3002" * 60
    assert all(chinese[start:end].endswith("\u3002") for start, end in cut_passages(chinese))


def test_terms_are_stems_and_pairs_of_characters():
    assert terms_of("Companies bought Caf\u00e9s, buying!") == ["compani", "bought", "cafe", "buy"]
    assert terms_of("\u534e\u4e3a\u5728Google") == ["googl", "\u534e\u4e3a", "\u4e3a\u5728"]
    assert terms_of("\u4eba") == ["\u4eba"]
    assert terms_of("Who is the president of the company?", question=True) == ["presid", "compani"]
