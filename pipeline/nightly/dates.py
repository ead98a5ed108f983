"""Logical dates: which instants belong to a day of a time zone. Nothing here knows what time it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from pipeline.errors import ConfigError

ONE = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_DAY_US = ONE // _US
# What a time may be and still have a date: years 2 to 9998.
_FIRST = _EPOCH.date()
_LOW, _HIGH = (date(2, 1, 1) - _FIRST).days, (date(9998, 12, 31) - _FIRST).days


def zone_of(name: str) -> ZoneInfo:
    """The zone by its name in the IANA database. Raises ConfigError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"zone {name!r}: no such time zone; write UTC or a name like Europe/Berlin") from error


def parse_date(text: str) -> date:
    """A logical date as it is written, 2026-11-22. Raises ConfigError."""
    try:
        found = date.fromisoformat(text)
        if str(found) != text:
            raise ValueError("written in another way")
    except ValueError as error:
        raise ConfigError(f"{text!r} is no date; write it as 2026-11-22") from error
    return found


def last_ended(now: datetime, zone: ZoneInfo) -> date:
    """The last day that has ended at `now`, which bears a zone of its own. For the command line's default alone."""
    return now.astimezone(zone).date() - ONE


def days(first: date, last: date) -> list[date]:
    """All dates from the first to the last one; none if that is before it."""
    return [first + i * ONE for i in range((last - first).days + 1)]


def begin_of(day: date, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, at which a day begins: its first midnight, or where that does not exist, the end of the gap.

    A day is all instants from its begin to the next day's; where clocks are set back over midnight (St John's until 2011), the
    hour that comes twice belongs to the later day. A day that a zone has skipped (Apia, 2011-12-30) is empty.
    """
    return datetime.combine(day, time(), zone).astimezone(UTC)


def days_of(times_us: np.ndarray, zone: ZoneInfo) -> list[tuple[date, np.ndarray]]:
    """Days in order, each with the places of its instants; `times_us`: int64[N], microseconds since 1970 in UTC.

    Instants outside of the years 2 to 9998 have no day.
    """
    utc = {_FIRST + int(day) * ONE for day in np.unique(times_us // _DAY_US) if _LOW <= day <= _HIGH}
    near = sorted({day + shift for day in utc for shift in (-ONE, ONE - ONE, ONE)})
    edges = np.array([(begin_of(day, zone) - _EPOCH) // _US for day in near], dtype=np.int64)
    index = np.searchsorted(edges, times_us, side="right") - 1
    index[(times_us < _LOW * _DAY_US) | (times_us >= (_HIGH + 1) * _DAY_US)] = -1
    return [(near[i], np.flatnonzero(index == i)) for i in np.unique(index) if i >= 0]


def window(day: date, trailing_days: int) -> Sequence[date]:
    """The days on which the report of a day depends: so many before it, and itself."""
    return days(day - trailing_days * ONE, day)
