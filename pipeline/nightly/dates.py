"""Logical dates: which instants belong to a day of a time zone. Nothing here knows what time it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from pipeline.errors import ConfigError
from pipeline.timezones import DAY_US, EPOCH, begin_us

ONE = timedelta(days=1)
# What a time may be and still have a date: years 2 to 9998.
_FIRST = EPOCH.date()
_LOW, _HIGH = (date(2, 1, 1) - _FIRST).days, (date(9998, 12, 31) - _FIRST).days


def parse_date(text: str) -> date:
    """Read a logical date.

    Args:
        text: As it is written, 2026-11-22.

    Returns:
        The date.

    Raises:
        ConfigError: It is none.
    """
    try:
        found = date.fromisoformat(text)
        if str(found) != text:
            raise ValueError("written in another way")
    except ValueError as error:
        raise ConfigError(f"{text!r} is no date; write it as 2026-11-22") from error
    return found


def last_ended(now: datetime, zone: ZoneInfo) -> date:
    """Return the last day that has ended; for the command line's default alone.

    Args:
        now: The time, with a zone of its own.
        zone: Zone of the day.
    """
    return now.astimezone(zone).date() - ONE


def days(first: date, last: date) -> list[date]:
    """Return all dates from the first to the last one; none if that is before it.

    Args:
        first: First date.
        last: Last date.
    """
    return [first + i * ONE for i in range((last - first).days + 1)]


def days_of(times_us: np.ndarray, zone: ZoneInfo) -> list[tuple[date, np.ndarray]]:
    """Sort instants into days.

    Times without a date are left out.

    Args:
        times_us: Microseconds since 1970 in UTC, int64, shape (n,).
        zone: Zone of the days.

    Returns:
        Days in order, each with the places of its instants, int64.
    """
    utc = {_FIRST + int(day) * ONE for day in np.unique(times_us // DAY_US) if _LOW <= day <= _HIGH}
    near = sorted({day + shift for day in utc for shift in (-ONE, ONE - ONE, ONE)})
    edges = np.array([begin_us(day, zone) for day in near], dtype=np.int64)
    index = np.searchsorted(edges, times_us, side="right") - 1
    index[(times_us < _LOW * DAY_US) | (times_us >= (_HIGH + 1) * DAY_US)] = -1
    return [(near[i], np.flatnonzero(index == i)) for i in np.unique(index) if i >= 0]


def window(day: date, trailing_days: int) -> Sequence[date]:
    """Return the days on which the report of a day depends: so many before it, and itself.

    Args:
        day: The day.
        trailing_days: Days before it.
    """
    return days(day - trailing_days * ONE, day)
