"""The days of a report, and the trailing days that they are compared with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pipeline.errors import ConfigError
from pipeline.report.clock import Clock
from pipeline.timezones import DAY_US, STRETCH_US, begin_us, instant, spans, zone_of

TRAILING_DAYS = 7
YEARS = (1000, 9000)


@dataclass(frozen=True, slots=True)
class ReportWindow:
    """Days of a report in a time zone, both ends included; without days it is everything, also documents without a time.

    Attributes:
        first: First day; None for everything.
        last: Last day; None for everything.
        zone: IANA name of the time zone.
        min_score: The least score of an entity that counts, from 0 to 1.

    Raises:
        ConfigError: Only one day is given, the later one comes first, a year is not from 1000 to 8999, there is no such zone, or
            the least score is not from 0 to 1.
    """

    first: date | None
    last: date | None
    zone: str = "UTC"
    min_score: float = 0.0

    def __post_init__(self) -> None:
        zone_of(self.zone)
        if not 0 <= self.min_score <= 1:
            raise ConfigError(f"--min-score {self.min_score}: give a probability, from 0 to 1")
        if (self.first is None) != (self.last is None) or (self.first and self.last and self.first > self.last):
            raise ConfigError(f"a report from {self.first} to {self.last}: give two days, the earlier one first")
        if self.first and self.last and not (YEARS[0] <= self.first.year and self.last.year < YEARS[1]):
            raise ConfigError(f"a report from {self.first} to {self.last}: years go from {YEARS[0]} to {YEARS[1] - 1}")

    @property
    def trailing(self) -> tuple[date, date] | None:
        """First and last trailing day: of the 7 days before, or of as many as the report has if more; None for everything."""
        if self.first is None or self.last is None:
            return None
        days = max(TRAILING_DAYS, (self.last - self.first).days + 1)
        return date.fromordinal(max(1, self.first.toordinal() - days)), self.first - timedelta(1)

    @property
    def name(self) -> str:
        """Name of the report's folder: 2026-11-22, 2026-11-16_2026-11-22, or all."""
        if self.first is None:
            return "all"
        return f"{self.first}" if self.first == self.last else f"{self.first}_{self.last}"

    @property
    def days(self) -> list[date]:
        """The report's days; none for everything."""
        return [] if self.first is None or self.last is None else self.between(self.first, self.last)

    @property
    def before(self) -> list[date]:
        """The trailing days; none for everything."""
        return [] if self.trailing is None else self.between(*self.trailing)

    def between(self, first: date, last: date) -> list[date]:
        """Return the days from the first to the last one, both included, without those that the zone has skipped.

        Args:
            first: First day.
            last: Last day.
        """
        every = [first + timedelta(n) for n in range((last - first).days + 1)]
        if self.zone == "UTC":
            return every
        return [day for day in every if self.begin_us(day) < self.begin_us(day + timedelta(1))]

    def begin_us(self, day: date) -> int:
        """Return when a day begins in the zone, in microseconds since 1970 in UTC.

        Args:
            day: The day.
        """
        return begin_us(day, zone_of(self.zone))

    def local(self, written: str) -> str:
        """Return an ISO 8601 time converted to the zone; text that is no time, or has no offset, comes back as it is.

        Args:
            written: The time, as a record gives it.
        """
        try:
            found = datetime.fromisoformat(written)
        except ValueError:
            return written
        return written if self.zone == "UTC" or found.tzinfo is None else found.astimezone(zone_of(self.zone)).isoformat()

    def clock(self, stretches: Iterable[int] = ()) -> Clock:
        """Make the zone's clock for the times that a report counts.

        Args:
            stretches: Numbers of the stretches of `STRETCH_US` since 1970 in which times lie; only needed for a report of
                everything in a zone other than UTC.

        Returns:
            The clock: valid for the report's days and the trailing ones or, for a report of everything, for these stretches.
        """
        zone = zone_of(self.zone)
        if self.trailing is not None and self.last is not None:
            runs = [(self.begin_us(self.trailing[0]), self.begin_us(self.last + timedelta(1)))]
        else:
            runs = [] if self.zone != "UTC" else [(0, 0)]
            for begin in (number * STRETCH_US for number in sorted(stretches)):
                low = runs.pop()[0] if runs and runs[-1][1] == begin else begin
                runs.append((low, begin + STRETCH_US))
        # What clocks showed just before may matter: an hour or a day may come twice.
        return Clock([span for low, high in runs or [(0, 0)] for span in spans(zone, low - 2 * DAY_US, high)])

    def touches(self, dated: tuple[int, int] | None, undated: int) -> bool:
        """Whether a part may hold documents of the report's days or the trailing ones.

        Args:
            dated: Earliest and latest time of its documents, microseconds since 1970; None if none has a time.
            undated: How many of its documents have no time; without effect, as these belong to reports of everything only.
        """
        if self.trailing is None or self.last is None:
            return True
        low, high = self.begin_us(self.trailing[0]), self.begin_us(self.last + timedelta(1))
        return dated is not None and dated[0] < high and dated[1] >= low

    def current(self, column: str = "created_at") -> str:
        """Return SQL of whether a time is of the report's days; never null.

        Args:
            column: SQL of the time, a TIMESTAMPTZ.
        """
        return "true" if self.first is None else self._between(column, self.first, self.last)

    def seen(self, column: str = "created_at") -> str:
        """Return SQL of whether a time is of the report's days or the trailing ones; never null.

        Args:
            column: SQL of the time, a TIMESTAMPTZ.
        """
        return "true" if self.trailing is None else self._between(column, self.trailing[0], self.last)

    def _between(self, column: str, first: date, last: date | None) -> str:
        begin, end = (self.begin_us(day) for day in (first, (last or first) + timedelta(1)))
        return f"coalesce({column} >= TIMESTAMPTZ '{_sql(begin)}' and {column} < TIMESTAMPTZ '{_sql(end)}', false)"


# Microseconds since 1970, SQL: null also for times so far away that they are surely none.
TIME_US = f"""case when created_at >= TIMESTAMPTZ '{YEARS[0]}-01-01 00:00:00+00'
    and created_at < TIMESTAMPTZ '{YEARS[1]}-01-01 00:00:00+00' then epoch_us(created_at) end"""


def _sql(time_us: int) -> str:
    return instant(time_us).isoformat(" ", "microseconds")
