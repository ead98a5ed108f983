"""Hours and days of a zone in SQL. DuckDB is told where the clocks change: without a download it has no zones of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.timezones import DAY_US, HOUR_US, Span


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of a time zone as SQL expressions, which are null where the time is null.

    Args:
        spans: Spans of the zone in which the times may lie, in order of time.
    """

    spans: Sequence[Span]

    def hour(self, time: str) -> str:
        """Make SQL of the beginning of the hour in which a time lies.

        Where clocks change within an hour, a new hour begins: hours never overlap, whatever the clocks show.

        Args:
            time: SQL of a time, BIGINT, microseconds since 1970 in UTC.

        Returns:
            SQL of the beginning, BIGINT, microseconds since 1970 in UTC.
        """

        def of(span: Span) -> str:
            begin = f"{time} - {_rest(time, span, HOUR_US)}"
            return begin if span is self.spans[0] else f"greatest({begin}, {span.begin_us})"

        return self._choose(time, of)

    def day(self, time: str) -> str:
        """Make SQL of the date that the zone has at a time.

        Args:
            time: SQL of a time, BIGINT, microseconds since 1970 in UTC.

        Returns:
            SQL of the date, BIGINT, days since 1970.
        """

        def of(span: Span) -> str:
            day = f"({time} + {span.offset_us} - {_rest(time, span, DAY_US)}) // {DAY_US}"
            return f"greatest({day}, {span.day})" if span.day > (span.begin_us + span.offset_us) // DAY_US else day

        return self._choose(time, of)

    def _choose(self, time: str, of: Callable[[Span], str]) -> str:
        if len(self.spans) == 1:
            return of(self.spans[0])
        return f"case when {time} is not null then {_search(time, self.spans, of)} end"


def _search(time: str, spans: Sequence[Span], of: Callable[[Span], str]) -> str:
    if len(spans) == 1:
        return of(spans[0])
    middle = len(spans) // 2
    before, behind = _search(time, spans[:middle], of), _search(time, spans[middle:], of)
    return f"case when {time} < {spans[middle].begin_us} then {before} else {behind} end"


def _rest(time: str, span: Span, unit_us: int) -> str:
    """What has passed of the hour or day by the clock; % is negative below 0."""
    return f"(({time} + {span.offset_us}) % {unit_us} + {unit_us}) % {unit_us}"
