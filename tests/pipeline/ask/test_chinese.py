"""Chinese as an index sees it: either script is found by the other, and misheard names by their sound."""

import pytest

from pipeline.ask.chinese import alike, simplified
from pipeline.ask.terms import characters_of, terms_of


def test_traditional_and_simplified_have_the_same_terms():
    pytest.importorskip("opencc")
    assert simplified("\u5370\u5ea6\u7684\u68b5\u8a9e, Oslo") == "\u5370\u5ea6\u7684\u68b5\u8bed, Oslo"
    assert simplified("no Chinese") == "no Chinese"
    assert terms_of("\u6703\u8b70\u5ba4") == terms_of("\u4f1a\u8bae\u5ba4") == ["\u4f1a\u8bae", "\u8bae\u5ba4"]
    assert characters_of("\u6703 Oslo \u8b70") == ["\u4f1a", "\u8bae"]


def test_each_character_is_read_alike_whatever_stands_around_it():
    pytest.importorskip("opencc")
    alone = [simplified(one) for one in "\u4e7e\u96a8\u982d\u9aee\u767c"]
    assert list(simplified("\u4e7e\u96a8\u982d\u9aee\u767c")) == alone


@pytest.mark.parametrize(("heard", "said"), [("zhang", "zan"), ("shi", "si"), ("ning", "lin"), ("wang", "wan"), ("ai", "ai")])
def test_syllables_that_are_misheard_fold_into_one(heard, said):
    assert alike(heard) == said


def test_names_sound_alike():
    pytest.importorskip("pypinyin")
    from pipeline.ask.chinese import sounds_of

    assert sounds_of("\u738b\u6bc5 Oslo") == sounds_of("\u738b\u4e49") == ["wan'yi"]
    assert sounds_of("\u738b") == ["wan"]
    assert sounds_of("Oslo") == []
