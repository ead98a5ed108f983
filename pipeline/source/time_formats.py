"""Parse times in words and digits, as programs and people write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

# Words for one offset each, in hours. CST, IST, BST, AST and the like stand for several, and are refused.
_ZONES = {
    "Z": 0, "UTC": 0, "GMT": 0, "UT": 0, "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3, "HKT": 8,
    "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11, "EST": -5, "EDT": -4, "CDT": -5, "MDT": -6, "PDT": -7, "AKST": -9, "AKDT": -8,
}  # fmt: skip
# RFC 2822 says what they mean within its own form.
_MAIL_ZONES = _ZONES | {"CST": -6, "MST": -7, "PST": -8}

_ZONE = r"""\s*
    (?P<zone> Z | (?:GMT|UTC)?[+-]\d{2}(?::?\d{2}(?::?\d{2})?)? | [A-Za-z]{2,5} | [A-Za-z]+/[A-Za-z_+\-/0-9]+ )?
    (?:\[(?P<region>[A-Za-z_+\-/0-9]+)\])?"""
_FRACTION = r"(?:[.,](?P<f>\d+))?"
_NOON = r"(?:\s?(?P<half>[AaPp])\.?[Mm]\.?)?"
_CLOCK = rf"(?P<H>\d{{1,2}}) : (?P<M>\d{{2}}) (?: : (?P<S>\d{{2}}) {_FRACTION} )? {_NOON} {_ZONE}"
_WEEKDAY = r"(?:(?P<weekday>[A-Za-z]{3,9})\.?,?\s+)?"
_NAMED = r"(?:\s*\([^()]*\))?"  # a zone's name behind its offset

_ISO = rf"""
    (?P<Y>\d{{4}})
    (?: -(?P<m>\d{{2}})-(?P<d>\d{{2}})
      | (?P<m2>\d{{2}})(?P<d2>\d{{2}}) | -?W(?P<week>\d{{2}})-?(?P<day>\d) | -?(?P<ordinal>\d{{3}}) )
    (?: (?:[Tt]|\s+|_) (?P<H>\d{{2}}) (?: :?(?P<M>\d{{2}}) (?: :?(?P<S>\d{{2}}) )? )? {_FRACTION} {_ZONE} )?"""
_YEAR_FIRST = rf"(?P<Y>\d{{4}})(?P<sep>[-/.])(?P<m>\d{{1,2}})(?P=sep)(?P<d>\d{{1,2}}) (?: (?:[Tt]|\s+) {_CLOCK} )?"
_MAIL = rf"""
    {_WEEKDAY} (?P<d>\d{{1,2}}) [-\s] (?P<month>[A-Za-z]{{3,9}})\.?,? [-\s] (?P<Y>\d{{4}})
    (?: ,?\s+ {_CLOCK} )? {_NAMED}"""
_MONTH_FIRST = rf"""
    {_WEEKDAY} (?P<month>[A-Za-z]{{3,9}})\.?\s (?P<d>\d{{1,2}}),?\s (?P<Y>\d{{4}})
    (?: ,?\s+ (?:at\s+)? {_CLOCK} )? {_NAMED}"""
# Twitter and Weibo, asctime, date.
_YEAR_LAST = rf"""
    (?P<weekday>[A-Za-z]{{3}})\s+ (?P<month>[A-Za-z]{{3}})\s+ (?P<d>\d{{1,2}})\s+ {_CLOCK} \s+ (?P<Y>\d{{4}})"""
_CHINESE = rf"""
    (?P<Y>\d{{4}}) \s*年\s* (?P<m>\d{{1,2}}) \s*月\s* (?P<d>\d{{1,2}}) \s*[日号號] (?: \s*(?:星期|周|週|礼拜)[一二三四五六日天] )?
    (?: \s* (?P<part>凌晨|清晨|早上|早晨|上午|中午|下午|傍晚|晚上|夜里|夜晚)? \s* (?P<H>\d{{1,2}})
        (?: : (?P<M>\d{{2}}) (?: : (?P<S>\d{{2}}) {_FRACTION} )?
          | \s*[时時点點]\s* (?: (?P<M2>\d{{1,2}}) \s*分\s* (?: (?P<S2>\d{{1,2}}) \s*秒 )? )? ) {_ZONE} )?"""
_FORMS = [
    (re.compile(form, re.ASCII | re.VERBOSE), _MAIL_ZONES if form is _MAIL else _ZONES)
    for form in (_ISO, _YEAR_FIRST, _MAIL, _MONTH_FIRST, _YEAR_LAST, _CHINESE)
]
_SHORT_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_LONG_MONTHS = "january february march april may june july august september october november december".split()
_MONTHS = {name: i for names in (_SHORT_MONTHS, _LONG_MONTHS) for i, name in enumerate(names, 1)} | {"sept": 9}
_SHORT_DAYS = "mon tue wed thu fri sat sun".split()
_LONG_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_DAYS = {name: i for names in (_SHORT_DAYS, _LONG_DAYS) for i, name in enumerate(names)} | {"tues": 1, "thur": 3, "thurs": 3}
_FIRST_HALF, _AFTERNOON, _NIGHT = ("上午", "凌晨"), ("下午", "傍晚"), ("晚上", "夜里", "夜晚")


def written(text: str) -> datetime:
    """Return the time that a text stands for, with its zone; without one it is UTC.

    Accepted are ISO 8601 (calendar, week and ordinal dates, basic and extended, with a zone in words or brackets), RFC 2822, a
    month in words, the forms of Twitter and `date`, and the year first, with slashes, points or Chinese characters.

    Args:
        text: The time and nothing else.

    Raises:
        ValueError: The text has none of these forms, as where a day or a month in digits comes first (01/02/2026); or it names a
            zone that stands for several, a day of the week that is not that day's, or a time that a change of clocks has skipped
            or repeated.
    """
    trouble = ValueError("no form of a time that is known")
    for pattern, zones in _FORMS:
        if (match := pattern.fullmatch(text)) is not None:
            try:
                return _of_parts(match.groupdict(), zones)
            except ValueError as error:
                trouble = error
    raise trouble


def _of_parts(found: Mapping[str, str | None], zones: Mapping[str, int]) -> datetime:
    day = _day(found)
    if (weekday := found.get("weekday")) is not None and _DAYS.get(weekday.lower()) != day.weekday():
        raise ValueError("the day of the week is another one")
    local = datetime(day.year, day.month, day.day) + _clock(found)
    there = local.replace(tzinfo=_zone(found, zones, local))
    if (found.get("S") or found.get("S2")) == "60":
        before = there.astimezone(UTC) - timedelta(seconds=1)
        if (before.hour, before.minute) != (23, 59):
            raise ValueError("a leap second is the last of a day in UTC")
    return there


def _day(found: Mapping[str, str | None]) -> date:
    year = int(found["Y"] or 0)
    if week := found.get("week"):
        return date.fromisocalendar(year, int(week), int(found["day"] or 0))
    if ordinal := found.get("ordinal"):
        day = date(year, 1, 1) + timedelta(days=int(ordinal) - 1)
        if day.year != year:
            raise ValueError("no such day of the year")
        return day
    month = found.get("month")
    number = _MONTHS.get(month.lower(), 0) if month else int(found.get("m") or found.get("m2") or 0)
    return date(year, number, int(found.get("d") or found.get("d2") or 0))


def _clock(found: Mapping[str, str | None]) -> timedelta:
    if found.get("H") is None:
        return timedelta()
    minute, second = (found.get(key) or found.get(f"{key}2") for key in "MS")
    fraction = found.get("f") or ""
    hour, minutes, seconds = _hour(int(found["H"] or 0), found), int(minute or 0), int(second or 0)
    unit = 1_000_000 if second else 60_000_000 if minute else 3_600_000_000
    part = int(fraction or 0) * unit // 10 ** len(fraction)
    if minutes > 59 or seconds > 60 or hour > 24 or (hour == 24 and (minutes or seconds or part)):
        raise ValueError("no such time of day")
    return timedelta(hours=hour, minutes=minutes, seconds=seconds, microseconds=part)


def _hour(hour: int, found: Mapping[str, str | None]) -> int:
    half, part = found.get("half"), found.get("part")
    if half:
        if not 1 <= hour <= 12:
            raise ValueError("no such hour of half a day")
        return hour % 12 + 12 * (half in "Pp")
    return hour if part is None else _chinese_hour(hour, part)


def _chinese_hour(hour: int, part: str) -> int:
    late = part in _AFTERNOON or part in _NIGHT or part == "中午"
    if hour > 12 and late:
        return hour
    if hour <= 12 and part in (*_FIRST_HALF, *_AFTERNOON) and hour > 0:
        return hour % 12 + 12 * late
    if part == "中午" and hour in (11, 12, 1, 2):
        return hour if hour > 10 else hour + 12
    if part in _NIGHT and 5 < hour < 12:  # at 12 and at 1 it may be the night before
        return hour + 12
    if not late and hour < 12:
        return hour
    raise ValueError("no such hour in that part of the day")


def _zone(found: Mapping[str, str | None], zones: Mapping[str, int], local: datetime) -> tzinfo:
    word, region = found.get("zone"), found.get("region")
    if word is not None and "/" not in word:
        if word[-1].isdigit():
            return _offset(word.lstrip("GMTUC"))
        if (hours := zones.get(word.upper())) is None:
            raise ValueError("a zone that is not known, or stands for several")
        return timezone(timedelta(hours=hours))
    region = word or region
    if region is None:
        return UTC
    zone = _region(region)
    readings = {local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)}
    if len(readings) != 1:
        raise ValueError("this time of day was there twice, or never")
    return timezone(readings.pop() or timedelta())


def _offset(word: str) -> timezone:
    digits = word[1:].replace(":", "")
    hours, minutes, seconds = (int(digits[i : i + 2] or 0) for i in (0, 2, 4))
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError("no such offset")
    found = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return timezone(-found if word[0] == "-" else found)


@lru_cache(maxsize=1000)
def _region(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"no zone {name}") from error
