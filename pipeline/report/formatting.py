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
    """Return a count without decimals, as in 1,234.

    Args:
        value: Number to write.
    """
    return f"{value:,.0f}"


def about(value: float) -> str:
    """Return an expected number with one decimal below 10 and none from there on, as in 0.4 or 12.

    Args:
        value: Number to write.
    """
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def share(value: float) -> str:
    """Return a share in per cent: with one decimal below 10 %, as in 12 % and 1.2 %; <0.1 % for anything smaller but not 0.

    Args:
        value: Fraction, 0 to 1.
    """
    percent = value * 100
    if 0 < percent < 0.1:
        return "<0.1 %"
    return f"{percent:.1f} %" if 0 < percent < 9.95 else f"{percent:.0f} %"


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign, a true minus rather than a hyphen, as in +0.12; what rounds to zero has no sign.

    Args:
        value: Number to write.
        digits: Decimals.
    """
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else ("+" if value > 0 else MINUS) + text


def change(now: float, before: float) -> str | None:
    """Return the relative change in per cent, as in +12 %, ± where it rounds to 0; None if there was nothing before.

    Args:
        now: Number now.
        before: Number before.
    """
    if not before:
        return None
    percent = (now - before) / before * 100
    return f"{'+' if percent >= 0.5 else MINUS if percent <= -0.5 else '±'}{abs(percent):,.0f} %"


def times(value: float) -> str:
    """Return a factor with one decimal below 10 and none from there on, as in 3.2 or 41.

    Args:
        value: Factor to write.
    """
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def seen(text: str, longest: int = LONGEST_NAME) -> str:
    """Return a text as it may be shown: without control and direction characters, and cut to a length.

    White space of any length is one space; a text that is cut ends with an ellipsis.

    Args:
        text: A name, source or id out of the documents.
        longest: Characters that are shown at most.
    """
    clean = "".join(" " if char.isspace() else "" if unicodedata.category(char)[0] == "C" else char for char in text)
    clean = " ".join(clean.split())
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def identity(text: str) -> str:
    """Return a document's id as it may be shown, see `seen`.

    Args:
        text: The id.
    """
    return seen(text, LONGEST_ID)


def tone(mean: float) -> str:
    """Return the CSS class of a mean sentiment: negative at -0.1 and below, positive at 0.1 and above, else neutral.

    Args:
        mean: Mean sentiment, -1 to 1.
    """
    return "negative" if mean <= -0.1 else "positive" if mean >= 0.1 else "neutral"


def moment(value: datetime | None) -> str:
    """Return a time to the minute, as in 2026-11-22 14:05, with its `offset` where that is needed; "" for None.

    Args:
        value: Aware time in the report's zone.
    """
    return "" if value is None else f"{value:%Y-%m-%d %H:%M}{offset(value)}"


def offset(value: datetime) -> str:
    """Return the offset from UTC, as in " +01:00", if the zone's clocks show this time twice; else "".

    Args:
        value: Aware time in the report's zone.
    """
    return (
        f" {value.isoformat(timespec='minutes')[16:]}"
        if value.utcoffset() != value.replace(fold=1 - value.fold).utcoffset()
        else ""
    )


def bucket(value: datetime, kind: str, lang: str) -> str:
    """Return the label of a bucket of the chart.

    Args:
        value: Beginning of the bucket.
        kind: What the bucket is: hour, day, month or year.
        lang: Language of the page, en or zh.
    """
    if kind in ("month", "year"):
        return f"{value:%Y-%m}" if kind == "month" else f"{value:%Y}"
    day = day_short(date(value.year, value.month, value.day), lang)
    return day if kind == "day" else f"{day}{',' if lang == 'en' else ''} {value:%H:%M}{offset(value)}"


def ticks(buckets: Sequence[datetime], kind: str, lang: str) -> list[tuple[float, str]]:
    """Place at most 6 marks on the time axis; if buckets are hours, at full hours by the zone's clocks.

    Args:
        buckets: Beginnings of the chart's buckets, in order.
        kind: What a bucket is: hour, day, month or year.
        lang: Language of the page, en or zh.

    Returns:
        Place of each mark, in per cent of the axis, and its text. Marks of hours stand at the bucket's beginning, others at its
        middle.
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
