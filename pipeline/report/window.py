"""The days of a report, and the trailing days that they are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from pipeline.errors import ConfigError

TRAILING_DAYS = 7
YEARS = (1000, 9000)
EPOCH = date(1970, 1, 1)
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """Days in UTC, both ends included; both None: everything, also what has no time."""

    first: date | None
    last: date | None

    def __post_init__(self) -> None:
        if (self.first is None) != (self.last is None) or (self.first and self.last and self.first > self.last):
            raise ConfigError(f"a report from {self.first} to {self.last}: give two days, the earlier one first")
        if self.first and self.last and not (YEARS[0] <= self.first.year and self.last.year < YEARS[1]):
            raise ConfigError(f"a report from {self.first} to {self.last}: years go from {YEARS[0]} to {YEARS[1] - 1}")

    @property
    def trailing(self) -> tuple[date, date] | None:
        """The first and the last of the days before: 7, or as many as the report has if that is more."""
        if self.first is None or self.last is None:
            return None
        days = max(TRAILING_DAYS, (self.last - self.first).days + 1)
        return date.fromordinal(max(1, self.first.toordinal() - days)), self.first - timedelta(1)

    @property
    def name(self) -> str:
        """The folder's name: 2026-11-22, 2026-11-16_2026-11-22, or all."""
        if self.first is None:
            return "all"
        return f"{self.first}" if self.first == self.last else f"{self.first}_{self.last}"

    @property
    def days(self) -> list[date]:
        """The report's days."""
        if self.first is None or self.last is None:
            return []
        return [self.first + timedelta(n) for n in range((self.last - self.first).days + 1)]

    def touches(self, dated: tuple[int, int] | None, undated: int) -> bool:
        """Whether documents whose times span `dated` (microseconds since 1970) may be of these days or the trailing ones."""
        if self.trailing is None or self.last is None:
            return True
        low, high = ((day - EPOCH).days * DAY_US for day in (self.trailing[0], self.last + timedelta(1)))
        return dated is not None and dated[0] < high and dated[1] >= low

    def current(self, column: str = "created_at") -> str:
        """SQL: whether a time is of the report's days; never null."""
        return "true" if self.first is None else _between(column, self.first, self.last)

    def seen(self, column: str = "created_at") -> str:
        """SQL: whether a time is of the report's days or the trailing ones; never null."""
        return "true" if self.trailing is None else _between(column, self.trailing[0], self.last)


# Microseconds since 1970, SQL: null also for times so far away that they are surely none.
TIME_US = f"""case when created_at >= TIMESTAMPTZ '{YEARS[0]}-01-01 00:00:00+00'
    and created_at < TIMESTAMPTZ '{YEARS[1]}-01-01 00:00:00+00' then epoch_us(created_at) end"""


def _between(column: str, first: date, last: date | None) -> str:
    begin, end = (f"TIMESTAMPTZ '{day} 00:00:00+00'" for day in (first, (last or first) + timedelta(1)))
    return f"coalesce({column} >= {begin} and {column} < {end}, false)"


def at(hour: int | None) -> datetime | None:
    """The begin of an hour that is counted from 1970."""
    return None if hour is None else datetime.combine(EPOCH, time(), UTC) + timedelta(hours=hour)
