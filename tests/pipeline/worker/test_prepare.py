"""Texts before the model: scripts, markup."""

import html
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.runtime.script import languages
from pipeline.worker.html import clean, restore


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Ms Keller flew to Oslo.", "en"),
        ("Zürich, Šiauliai", "en"),
        ("北京市政府", "zh"),
        ("臺灣的天氣", "zh"),
        ("我在Google工作了三年", "zh"),
        ("He said 你好 to everyone in the room", "en"),
        ("東京タワーに行きました", "ja"),
        ("서울에서 만나요", "ko"),
        ("Привет из Москвы", "ru"),
        ("مرحبا بكم", "ar"),
        ("שלום", "he"),
        ("\uff26\uff55\uff4c\uff4c", "en"),
        ("", None),
        ("  12:30 -- \U0001f600\u200d !? ", None),
        ("\ud800", None),
    ],
)
def test_languages(text, language):
    assert languages(["x", text, "北"]) == ["en", language, "zh"]


def test_markup_goes_and_offsets_stay(tagger):
    text = (
        "<div class='x'><p>Angela <b>Merkel</b> visited Caf&eacute; Z&#252;rich.</p><script>var Paris = '<b>';</script>"
        "<!-- Oslo --><br>AT&amp;T is in Dallas &nosuch; &lt;3</div>"
    )
    one = clean(text)
    assert one is not None
    assert one.text.split() == "Angela Merkel visited Café Zürich. AT&T is in Dallas &nosuch; <3".split()
    (row,) = restore(tagger.tag([one.text]), [one]).to_pylist()
    found = {e["text"]: text[e["start"] : e["end"]] for e in row["entities"]}
    assert found["Angela Merkel"] == "Angela <b>Merkel"
    assert "Dallas" in found
    assert not found.keys() & {"Paris", "Oslo"}
    words = [text[w["start"] : w["end"]] for w in row["words"]]
    assert "Caf&eacute;" in words
    assert clean("a < b & c > d, nothing here") is None


@pytest.mark.parametrize(
    ("begin", "end"), [("<SCRIPT>", "</SCRIPT>"), ("<Script type=x>", "</script >"), ("<STYLE>", "</Style>")]
)
def test_code_goes_however_its_tags_are_written(begin, end):
    assert clean(f"Oslo{begin}var \u0130 = 'Paris';{end}Cork").text.split() == ["Oslo", "Cork"]


@given(st.text(st.sampled_from("ab<>/&;! -#p1script"), max_size=60))
def test_cleaning_any_text(text):
    one = clean(text)
    if one is not None:
        assert len(one.text) == len(one.places) == len(one.ends)
        assert all(0 <= a < b <= len(text) for a, b in zip(one.places, one.ends, strict=True))
        assert all(a <= b for a, b in zip(one.places, one.places[1:], strict=False))
        for character, a, b in zip(one.text, one.places, one.ends, strict=True):
            if b - a == 1:
                assert text[a] == character
            else:
                assert character == "\n" or character in html.unescape(text[a:b])


def test_cleaning_takes_linear_time():
    for evil in ("<script>", "<!--", "<a ", "&amp", "<p"):
        began = time.perf_counter()
        clean(evil * 100_000)
        assert time.perf_counter() - began < 5
