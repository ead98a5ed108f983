"""How numbers, times and names look on the page."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from pipeline.report.i18n import day_short

MINUS = "\u2212"
LONGEST_NAME, LONGEST_ID = 80, 160


def count(value: int | float) -> str:
    """Return a count, as 1,234.

    Args:
        value: The number.
    """
    return f"{value:,.0f}"


def about(value: float) -> str:
    """Return an expected number, as 0.4 or 12.

    Args:
        value: The number.
    """
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def share(value: float) -> str:
    """Return a share, as 12 %, or 1.2 % below ten.

    Args:
        value: 0 to 1.
    """
    percent = value * 100
    if 0 < percent < 0.1:
        return "<0.1 %"
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def signed(value: float, digits: int = 2) -> str:
    """Return +0.12, with a true minus; what rounds to zero has no sign.

    Args:
        value: The number.
        digits: Behind the point.
    """
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else ("+" if value > 0 else MINUS) + text


def change(now: float, before: float) -> str | None:
    """Return the relative change, as +12 %; None without a before.

    Args:
        now: The number now.
        before: The number before.
    """
    if not before:
        return None
    percent = (now - before) / before * 100
    return f"{'+' if percent >= 0.5 else MINUS if percent <= -0.5 else '±'}{abs(percent):,.0f} %"


def times(value: float) -> str:
    """Return how many times, as 3.2 or 41.

    Args:
        value: The number.
    """
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def seen(text: str, longest: int = LONGEST_NAME) -> str:
    """Return a name or id as it may be shown: without control or direction characters, and not too long.

    Args:
        text: The name.
        longest: Characters that are shown.
    """
    clean = "".join(" " if char.isspace() else "" if unicodedata.category(char)[0] == "C" else char for char in text)
    clean = " ".join(clean.split())
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def identity(text: str) -> str:
    """Return a document's id as it may be shown.

    Args:
        text: The id.
    """
    return seen(text, LONGEST_ID)


def tone(mean: float) -> str:
    """Return the class of a mean sentiment: far enough from 0 to be coloured, or not.

    Args:
        mean: -1 to 1.
    """
    return "negative" if mean <= -0.1 else "positive" if mean >= 0.1 else "neutral"


def moment(value: datetime | None) -> str:
    """Return a time, as 2026-11-22 14:05; "" without one.

    Args:
        value: By the zone's clocks.
    """
    return "" if value is None else f"{value:%Y-%m-%d %H:%M}{offset(value)}"


def offset(value: datetime) -> str:
    """Return how far clocks are ahead of UTC, as in " +01:00", where they show one time twice; else nothing.

    Args:
        value: By the zone's clocks.
    """
    return (
        f" {value.isoformat(timespec='minutes')[16:]}"
        if value.utcoffset() != value.replace(fold=1 - value.fold).utcoffset()
        else ""
    )


def bucket(value: datetime, kind: str, lang: str) -> str:
    """Return the name of a bucket of the chart.

    Args:
        value: Its beginning.
        kind: hour, day, month or year.
        lang: en or zh.
    """
    if kind in ("month", "year"):
        return f"{value:%Y-%m}" if kind == "month" else f"{value:%Y}"
    day = day_short(date(value.year, value.month, value.day), lang)
    return day if kind == "day" else f"{day}{',' if lang == 'en' else ''} {value:%H:%M}{offset(value)}"


def ticks(buckets: Sequence[datetime], kind: str, lang: str) -> list[tuple[float, str]]:
    """Place at most 6 marks on the time axis, those of hours at full ones by the clock.

    Args:
        buckets: Beginnings of the chart's buckets.
        kind: hour, day, month or year.
        lang: en or zh.

    Returns:
        Place in per cent, and text.
    """
    if not buckets:
        return []
    step = max(1, -(-len(buckets) // 6))
    places = list(range(0, len(buckets), step))
    if kind == "hour":
        step = next(one for one in (4, 6, 8, 12, 24) if len(buckets) <= one * 6)
        places = [number for number, value in enumerate(buckets) if not (value.hour % step or value.minute or value.fold)]
    marks = []
    for number in places:
        value = buckets[number]
        text = f"{value:%H}:00" if kind == "hour" and value.hour else bucket(value, "day" if kind == "hour" else kind, lang)
        marks.append((round(100 * (number + (0 if kind == "hour" else 0.5)) / len(buckets), 2), text))
    return marks


FILTERS: dict[str, Any] = {
    "count": count, "about": about, "share": share, "signed": signed, "times": times, "seen": seen, "identity": identity,
    "tone": tone, "moment": moment,
}  # fmt: skip
