"""Periods in words: "this week", "in October", "since 2026-11-01", the Chinese for "the last three days"; as days in UTC."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_CHINESE_NUMBERS = "一二三四五六七八九十"
_NUMBER = rf"(?P<number>\d{{1,3}}|{'|'.join(_NUMBERS)}|[{_CHINESE_NUMBERS}两])"
_DAY = r"(?P<day>[12]\d{3}-\d{1,2}-\d{1,2})"
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})(?:,? (?P<year>\d{{4}}))?"
_CHINESE_MONTH = r"(?:(?P<year>[12]\d{3})年)?(?P<month>\d{1,2})月(?:份)?"
_CHINESE_DAY = rf"{_CHINESE_MONTH}(?P<of_month>\d{{1,2}})[日号]"


@dataclass(frozen=True, slots=True)
class Period:
    """Days from one to another, both included.

    Attributes:
        first: First day, None without one.
        last: Last day, None without one.
    """

    first: date | None = None
    last: date | None = None

    def __str__(self) -> str:
        """Write it, as in 2026-11-23 to 2026-11-27; "" for all days."""
        if self.first == self.last:
            return str(self.first or "")
        return f"{self.first or ''} to {self.last or 'today'}".strip()


def _days(today: date, ago: int, number: int = 1) -> Period:
    return Period(today - timedelta(ago + number - 1), today - timedelta(ago))


def _week(today: date, ago: int) -> Period:
    monday = today - timedelta(today.weekday() + 7 * ago)
    return Period(monday, monday + timedelta(6))


def _month(year: int, month: int) -> Period:
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    following = date(year + month // 12, month % 12 + 1, 1)
    return Period(date(year, month, 1), following - timedelta(1))


def _year(year: int) -> Period:
    return Period(date(year, 1, 1), date(year, 12, 31))


def _number(written: str) -> int:
    written = written.lower()
    if written.isdecimal():
        return int(written)
    if written == "两":
        return 2
    return (_NUMBERS.index(written) if written in _NUMBERS else _CHINESE_NUMBERS.index(written)) + 1


def _recent(unit: str) -> Callable[[re.Match[str], date], Period]:
    days = {"day": 1, "week": 7, "month": 30}[unit]
    return lambda match, today: _days(today, 0, days * max(1, _number(match["number"] or "1")))


def _named_month(match: re.Match[str], today: date) -> Period:
    """A month without its year is the latest that has begun."""
    written = match["month"].lower()
    month = int(written) if written.isdecimal() else _MONTHS.index(written) + 1
    year = int(match["year"]) if match["year"] else today.year - (month > today.month)
    if not 1 <= month <= 12:
        raise ValueError(f"no month {month}")
    return _month(year, month)


def _chinese_day(match: re.Match[str], today: date) -> Period:
    month, day = int(match["month"]), int(match["of_month"])
    year = int(match["year"]) if match["year"] else today.year - ((month, day) > (today.month, today.day))
    return Period(date(year, month, day), date(year, month, day))


def _day(match: re.Match[str], today: date) -> Period:
    year, month, day = map(int, match["day"].split("-"))
    return Period(date(year, month, day), date(year, month, day))


def _open(match: re.Match[str], today: date) -> Period:
    return Period(_day(match, today).first, None)


# Each as it stands at the end or the beginning of an English question, or anywhere in a Chinese one.
_ENGLISH: tuple[tuple[str, Callable[[re.Match[str], date], Period]], ...] = (
    (r"today", lambda _, today: _days(today, 0)),
    (r"yesterday", lambda _, today: _days(today, 1)),
    (r"(?:in )?this week", lambda _, today: _week(today, 0)),
    (r"(?:in )?last week", lambda _, today: _week(today, 1)),
    (r"(?:in )?this month", lambda _, today: _month(today.year, today.month)),
    (r"(?:in )?last month", lambda _, today: _month(today.year, today.month - 1)),
    (r"(?:in )?this year", lambda _, today: _year(today.year)),
    (r"(?:in )?last year", lambda _, today: _year(today.year - 1)),
    *((rf"(?:in|over|during) the (?:last|past) (?:{_NUMBER} )?{unit}s?", _recent(unit)) for unit in ("day", "week", "month")),
    (rf"(?:in|during) {_MONTH}", _named_month),
    (r"(?:in|during) (?P<year>[12]\d{3})", lambda match, _: _year(int(match["year"]))),
    (rf"on {_DAY}", _day),
    (rf"since {_DAY}", _open),
)
_CHINESE: tuple[tuple[str, Callable[[re.Match[str], date], Period]], ...] = (
    (r"今天|今日", lambda _, today: _days(today, 0)),
    (r"昨天|昨日", lambda _, today: _days(today, 1)),
    (r"本周|这周|这一周|这个星期|这星期|本星期", lambda _, today: _week(today, 0)),
    (r"上周|上一周|上个星期|上星期", lambda _, today: _week(today, 1)),
    (r"本月|这个月", lambda _, today: _month(today.year, today.month)),
    (r"上个?月", lambda _, today: _month(today.year, today.month - 1)),
    (r"今年", lambda _, today: _year(today.year)),
    (r"去年", lambda _, today: _year(today.year - 1)),
    (rf"(?:最近|过去|近){_NUMBER}天", _recent("day")),
    (rf"(?:最近|过去|近){_NUMBER}(?:周|个?星期)", _recent("week")),
    (rf"(?:最近|过去|近){_NUMBER}个月", _recent("month")),
    (rf"自{_DAY}(?:以来|起)?", _open),
    (rf"{_DAY}以来", _open),
    (_CHINESE_DAY, _chinese_day),
    (_CHINESE_MONTH, _named_month),
    (r"(?P<year>[12]\d{3})年", lambda match, _: _year(int(match["year"]))),
)


_AT_END = tuple((re.compile(rf"(?P<rest>.+?),? {phrase}", re.IGNORECASE), made) for phrase, made in _ENGLISH)
_AT_START = tuple((re.compile(rf"{phrase},? (?P<rest>.+)", re.IGNORECASE), made) for phrase, made in _ENGLISH)
_INSIDE = tuple(
    (re.compile(rf"(?P<before>.*?)(?:在|于)?(?:{phrase})(?:里|中|内|的时候)?(?P<after>.*)"), made) for phrase, made in _CHINESE
)


def split_period(question: str, today: date) -> tuple[str, Period] | None:
    """Find the period in a question.

    Args:
        question: In English or Chinese, without its question mark.
        today: What "today" is.

    Returns:
        The question without the words for the period, and the period; None if no period is named.
    """
    for pattern, made in (*_AT_END, *_AT_START, *_INSIDE):
        match = pattern.fullmatch(question)
        if match is None:
            continue
        try:
            period = made(match, today)
        except (ValueError, OverflowError):
            continue  # the 40th of May, the year 0: words, and no period
        groups = match.groupdict()
        rest = groups["rest"] if "rest" in groups else groups["before"] + groups["after"]
        return rest.strip(" ,\uff0c"), period
    return None
