"""The prompt holds as many whole names as fit, the likeliest first, in the script of the language."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.voice.prompt import is_echo, prompt_of

NAMES = ["Volta Energy", "\u534e\u4e3a", "Oslo", "\u4e0a\u6d77", "Anna Keller"]


def letters(text):
    return [ord(one) for one in text]


def said(names, lang, budget):
    return "".join(map(chr, prompt_of(names, lang, letters, budget)))


def test_names_of_the_script_stand_in_their_order():
    assert said(NAMES, "en", 100) == " Volta Energy, Oslo, Anna Keller."
    assert "\u534e\u4e3a\u3001\u4e0a\u6d77\u3002" in said(NAMES, "zh", 100)


def test_names_are_left_out_and_never_cut():
    assert said(NAMES, "en", 25) == " Volta Energy, Oslo."
    assert said(NAMES, "en", 5) == ""
    assert said([], "en", 100) == ""


def test_an_echo_of_the_prompt_is_no_question():
    prompt = said(NAMES, "en", 100)
    assert is_echo("Volta Energy, Oslo", prompt, NAMES)
    assert is_echo("oslo anna keller.", prompt, NAMES)
    for question in ("Volta Energy?", "Who is Anna Keller?", "", "..."):
        assert not is_echo(question, prompt, NAMES)


@settings(deadline=None)
@given(st.lists(st.text(max_size=30), max_size=40), st.sampled_from(["en", "zh"]), st.integers(30, 120))
def test_no_names_overflow_the_prompt(names, lang, budget):
    assert len(prompt_of(names, lang, letters, budget)) <= budget
