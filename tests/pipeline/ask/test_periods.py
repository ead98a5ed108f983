"""Periods in words: what they mean on a given day, and that no text breaks them."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ask.periods import Period, split_period

FRIDAY = date(2026, 11, 27)
KNOWN = [
    ("X today", "2026-11-27", "2026-11-27"),
    ("X yesterday", "2026-11-26", "2026-11-26"),
    ("X this week", "2026-11-23", "2026-11-29"),
    ("X in last week", "2026-11-16", "2026-11-22"),
    ("X this month", "2026-11-01", "2026-11-30"),
    ("X last month", "2026-10-01", "2026-10-31"),
    ("X last year", "2025-01-01", "2025-12-31"),
    ("X in the last three days", "2026-11-25", "2026-11-27"),
    ("X over the past week", "2026-11-21", "2026-11-27"),
    ("X in October", "2026-10-01", "2026-10-31"),
    ("X in December", "2025-12-01", "2025-12-31"),
    ("X in February 2024", "2024-02-01", "2024-02-29"),
    ("X during 2026", "2026-01-01", "2026-12-31"),
    ("X on 2026-11-05", "2026-11-05", "2026-11-05"),
    ("since 2026-11-05, X", "2026-11-05", None),
    ("Yesterday X", "2026-11-26", "2026-11-26"),
    ("\u4eca\u5929X", "2026-11-27", "2026-11-27"),
    ("X\u672c\u5468", "2026-11-23", "2026-11-29"),
    ("\u5728\u4e0a\u5468X", "2026-11-16", "2026-11-22"),
    ("\u4e0a\u4e2a\u6708X", "2026-10-01", "2026-10-31"),
    ("\u6700\u8fd1\u4e24\u5929X", "2026-11-26", "2026-11-27"),
    ("\u8fc7\u53bb3\u4e2a\u6708X", "2026-08-30", "2026-11-27"),
    ("10\u6708X", "2026-10-01", "2026-10-31"),
    ("2024\u5e742\u6708X", "2024-02-01", "2024-02-29"),
    ("11\u67085\u65e5X", "2026-11-05", "2026-11-05"),
    ("2025\u5e74X", "2025-01-01", "2025-12-31"),
    ("\u81ea2026-11-05\u4ee5\u6765X", "2026-11-05", None),
]


@pytest.mark.parametrize(("question", "first", "last"), KNOWN)
def test_what_a_period_means(question, first, last):
    rest, period = split_period(question, FRIDAY)
    assert rest == "X"
    assert [period.first, period.last] == [date.fromisoformat(one) if one else None for one in (first, last)]


@pytest.mark.parametrize(
    "question", ["X", "", "X on 2026-02-30", "X since 2026-13-01", "13\u6708X", "the week after", "X in 0000"]
)
def test_what_is_no_period(question):
    assert split_period(question, FRIDAY) is None


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)))
def test_periods_meet_without_gap_or_overlap(today):
    for now, before in (
        ("today", "yesterday"),
        ("this week", "last week"),
        ("this month", "last month"),
        ("this year", "last year"),
    ):
        (_, new), (_, old) = (split_period(f"X {words}", today) for words in (now, before))
        assert old.first <= old.last == new.first - timedelta(1)
        assert new.first <= today <= new.last


@given(st.text(max_size=60), st.dates())
def test_no_text_on_no_day_breaks_it(text, today):
    for question in (text, f"X in the last {text} days", f"\u8fc7\u53bb{text}\u5929X", f"X on {text}"):
        found = split_period(question, today)
        assert found is None or isinstance(found[1], Period)
