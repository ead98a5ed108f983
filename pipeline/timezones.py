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
    """A time span, up to the beginning of the next one, in which a zone's offset from UTC does not change.

    Attributes:
        begin_us: First instant of the span, microseconds since 1970 (UTC).
        offset_us: Local time minus UTC, microseconds.
        day: Latest local date before the span, in days since 1970, below which no date of the span falls: where clocks are set
            back over midnight, the hour that comes twice belongs to the later day, so that dates never decrease.
    """

    begin_us: int
    offset_us: int
    day: int

    def day_of(self, time_us: int) -> int:
        """Return the local date of an instant of the span, in days since 1970.

        Args:
            time_us: Instant within the span, microseconds since 1970 (UTC).
        """
        return max(self.day, (time_us + self.offset_us) // DAY_US)


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone of a name.

    Args:
        name: Name in the IANA database, such as Europe/Berlin.

    Raises:
        ConfigError: There is no time zone of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"zone {name!r}: no such time zone; write UTC or a name like Europe/Berlin") from error


def instant(time_us: int) -> datetime:
    """Return an instant as a datetime in UTC.

    Args:
        time_us: Microseconds since 1970 (UTC).
    """
    return EPOCH + time_us * _US


def microseconds(when: datetime) -> int:
    """Return an instant in microseconds since 1970 (UTC); the inverse of `instant`.

    Args:
        when: With a time zone.
    """
    return (when - EPOCH) // _US


def spans(zone: ZoneInfo, low_us: int, high_us: int) -> list[Span]:
    """Return the spans of constant offset that cover the time between two instants; the first begins at `low_us`.

    Offsets are sampled once a day, since no zone changes its clocks twice within a day.

    Args:
        zone: Time zone whose clocks are meant.
        low_us: First instant, microseconds since 1970 (UTC).
        high_us: Last instant, microseconds since 1970 (UTC), included.
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
    """Return the instant at which a day begins in a zone, in microseconds since 1970 (UTC).

    It is the first instant whose local date is this day or a later one: the first midnight, or the end of the gap if clocks skip
    midnight. A day lasts until the next one begins; a day that a zone has skipped (Apia, 2011-12-30) is empty.

    Args:
        day: Local date.
        zone: Time zone whose clocks are meant.
    """
    number = (day - EPOCH.date()).days
    low, high = (number - 2) * DAY_US, (number + 2) * DAY_US
    near = spans(zone, low, high)
    ends = [*(span.begin_us for span in near[1:]), high]
    return next(begin for span, end in zip(near, ends, strict=True) if (begin := _reaches(span, number)) < end)


def _reaches(span: Span, day: int) -> int:
    return max(span.begin_us, day * DAY_US - span.offset_us)


def hours(zone: ZoneInfo, low_us: int, high_us: int) -> list[int]:
    """Return the instants at which a zone's hours begin, in microseconds since 1970 (UTC), ascending.

    A change of the clocks begins a new hour too.

    Args:
        zone: Time zone whose clocks are meant.
        low_us: First instant, which is the first result; microseconds since 1970 (UTC).
        high_us: Where the last hour ends at the latest; microseconds since 1970 (UTC), excluded.
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
