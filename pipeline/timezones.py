"""Time zones: where the clocks of one change, and when its days begin. Nothing here knows what time it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.errors import ConfigError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
_US = timedelta(microseconds=1)
# Changes of clocks are looked up, and remembered, for so much time at once.
STRETCH_US = 64 * DAY_US


@dataclass(frozen=True, slots=True)
class Span:
    """Instants of a zone at which clocks are equally far ahead of UTC, to the next span.

    Attributes:
        begin_us: The first, microseconds since 1970.
        offset_us: How far clocks are ahead of UTC, microseconds.
        day: Latest date, in days since 1970, that clocks have shown before: where they are set back over midnight, the hour that
            comes twice belongs to the later day, so that days follow each other.
    """

    begin_us: int
    offset_us: int
    day: int

    def day_of(self, time_us: int) -> int:
        """Return the date of an instant of the span, in days since 1970.

        Args:
            time_us: Microseconds since 1970.
        """
        return max(self.day, (time_us + self.offset_us) // DAY_US)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone.

    Args:
        name: In the IANA database.

    Raises:
        ConfigError: There is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"zone {name!r}: no such time zone; write UTC or a name like Europe/Berlin") from error


def instant(time_us: int) -> datetime:
    """Return an instant in UTC.

    Args:
        time_us: Microseconds since 1970.
    """
    return EPOCH + time_us * _US


def spans(zone: ZoneInfo, low_us: int, high_us: int) -> list[Span]:
    """Return the spans from an instant to another, the first of which begins with it; no zone changes twice within a day.

    Args:
        zone: The zone.
        low_us: First instant, microseconds since 1970.
        high_us: Last instant.
    """
    if zone.key == "UTC":
        return [Span(low_us, 0, low_us // DAY_US)]
    offset = _offset_us(zone, low_us)
    found = [Span(low_us, offset, (low_us + offset) // DAY_US)]
    for stretch in range(low_us // STRETCH_US, high_us // STRETCH_US + 1):
        for begin, offset in _changes(zone, stretch):
            if low_us < begin <= high_us:
                found.append(Span(begin, offset, found[-1].day_of(begin - 1)))
    return found


@cache
def _changes(zone: ZoneInfo, stretch: int) -> list[tuple[int, int]]:
    """When the clocks of a zone change within a stretch of time, and to what."""
    found = []
    at = stretch * STRETCH_US
    before = _offset_us(zone, at)
    for after in range(at + DAY_US, at + STRETCH_US + 1, DAY_US):
        offset = _offset_us(zone, after)
        if offset != before:
            found.append((_change(zone, after - DAY_US, after, offset), offset))
        before = offset
    return found


def _change(zone: ZoneInfo, low: int, high: int, offset: int) -> int:
    """The first instant with the offset that `high` has and `low` has not."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _offset_us(zone, middle) == offset else (middle, high)
    return high


def _offset_us(zone: ZoneInfo, time_us: int) -> int:
    offset = instant(time_us).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // _US


def begin_us(day: date, zone: ZoneInfo) -> int:
    """Return the instant at which a day begins: the first whose date is not an earlier one.

    It is the first midnight, or where that does not exist, the end of the gap. A day is all instants from its beginning to the
    next day's; a day that a zone has skipped (Apia, 2011-12-30) is empty.

    Args:
        day: The day.
        zone: The zone.
    """
    number = (day - EPOCH.date()).days
    low, high = (number - 2) * DAY_US, (number + 2) * DAY_US
    near = spans(zone, low, high)
    ends = [*(span.begin_us for span in near[1:]), high]
    return next(begin for span, end in zip(near, ends, strict=True) if (begin := _reaches(span, number)) < end)


def _reaches(span: Span, day: int) -> int:
    return max(span.begin_us, day * DAY_US - span.offset_us)


def hours(zone: ZoneInfo, low_us: int, high_us: int) -> list[int]:
    """Return the beginnings of a zone's hours; clocks that change begin a new hour.

    Args:
        zone: The zone.
        low_us: The first, which is one, microseconds since 1970.
        high_us: Where to end.
    """
    near = spans(zone, low_us, high_us)
    ends = [*(span.begin_us for span in near[1:]), high_us]
    found = []
    for span, end in zip(near, ends, strict=True):
        at = span.begin_us
        while at < end:
            found.append(at)
            at += HOUR_US - (at + span.offset_us) % HOUR_US
    return found
