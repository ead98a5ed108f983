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
    """1,234."""
    return f"{value:,.0f}"


def about(value: float) -> str:
    """An expected number: 0.4, 12."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def share(value: float) -> str:
    """12 %, and 1.2 % below ten."""
    percent = value * 100
    if 0 < percent < 0.1:
        return "<0.1 %"
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def signed(value: float, digits: int = 2) -> str:
    """+0.12, with a true minus; what rounds to zero has no sign."""
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else ("+" if value > 0 else MINUS) + text


def change(now: float, before: float) -> str | None:
    """The relative change as +12 %; None without a before."""
    if not before:
        return None
    percent = (now - before) / before * 100
    return f"{'+' if percent >= 0.5 else MINUS if percent <= -0.5 else '±'}{abs(percent):,.0f} %"


def times(value: float) -> str:
    """How many times: 3.2, 41."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def seen(text: str, longest: int = LONGEST_NAME) -> str:
    """A name or id as it may be shown: no control or direction characters, not longer than so many characters."""
    clean = "".join(" " if char.isspace() else "" if unicodedata.category(char)[0] == "C" else char for char in text)
    clean = " ".join(clean.split())
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def identity(text: str) -> str:
    """A document's id as it may be shown."""
    return seen(text, LONGEST_ID)


def tone(mean: float) -> str:
    """The class of a mean sentiment: far enough from 0 to be coloured, or not."""
    return "negative" if mean <= -0.1 else "positive" if mean >= 0.1 else "neutral"


def moment(value: datetime | None) -> str:
    """2026-11-22 14:05."""
    return "" if value is None else f"{value:%Y-%m-%d %H:%M}{offset(value)}"


def offset(value: datetime) -> str:
    """How far clocks are ahead of UTC, as in " +01:00", where they show one time twice; else nothing."""
    return (
        f" {value.isoformat(timespec='minutes')[16:]}"
        if value.utcoffset() != value.replace(fold=1 - value.fold).utcoffset()
        else ""
    )


def bucket(value: datetime, kind: str, lang: str) -> str:
    """The name of a bucket of the chart."""
    if kind in ("month", "year"):
        return f"{value:%Y-%m}" if kind == "month" else f"{value:%Y}"
    day = day_short(date(value.year, value.month, value.day), lang)
    return day if kind == "day" else f"{day}{',' if lang == 'en' else ''} {value:%H:%M}{offset(value)}"


def ticks(buckets: Sequence[datetime], kind: str, lang: str) -> list[tuple[float, str]]:
    """At most 6 marks of the time axis, those of hours at full ones by the clock: place in percent, and text."""
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
