"""How sure an answer is that was found: of what was read, how well it was found and at which rank, with vectors and without."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.runtime.reader import Answer
from pipeline.ask.found import MIN_SCORE, found_answers, surest_first
from pipeline.ask.reading import FIRST, QuestionReading
from pipeline.ask.search import Passage


def passage(row=0, bm25=20.0, cosine=0.7):
    return Passage("d", "text", 0, "", None, "en", "neutral", "p", row, bm25, cosine)


def answer(span, text="Oslo"):
    return Answer(text, 0, len(text), 0.9, 2.0, (span, 7.0, 10.0, -0.1))


def scores(spans, **more):
    return [one.score for one in found_answers([answer(s) for s in spans], [passage(i, **more) for i in range(len(spans))], "en")]


@given(st.floats(-60, 60), st.floats(-60, 60), st.floats(0, 1), st.floats(0, 1))
def test_more_of_anything_good_is_never_less_sure(span, other, cosine, nearer):
    (span, other), (cosine, nearer) = sorted((span, other)), sorted((cosine, nearer))
    assert scores([span])[0] <= scores([other])[0]
    assert scores([span], cosine=cosine)[0] <= scores([span], cosine=nearer)[0]
    first, second = scores([span, span])
    assert 0 < second < first < 1


def test_a_clear_answer_is_sure_enough_with_vectors_and_without_them():
    assert scores([20.0])[0] > MIN_SCORE
    assert scores([20.0], cosine=None)[0] > MIN_SCORE
    assert max(scores([-15.0, -15.0])) < 0.01
    assert max(scores([-15.0], cosine=None)) < 0.01


def test_what_is_no_text_comes_last_and_is_never_an_answer():
    found = found_answers([answer(90.0, ""), answer(-40.0)], [passage(0), passage(1)], "en")
    assert [one.answer.text for one in surest_first(found)] == ["Oslo", ""]
    assert found[0].score == 0.0


@pytest.mark.parametrize(("span", "more"), [(20.0, 0), (-10.0, 7)])
def test_the_rest_is_read_where_the_first_passages_are_not_sure(span, more):
    reading = QuestionReading("Where?", [passage(i) for i in range(FIRST + 7)], 1, MIN_SCORE)
    assert len(reading.wanted()) == FIRST
    reading.give([answer(span)] * FIRST)
    assert len(reading.wanted()) == more
