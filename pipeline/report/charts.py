"""Geometry of the page's charts: SVG in units of its own, stretched to whatever width there is; words stand beside it as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report.view_model import SentimentCounts

WIDTH, HEIGHT = 1000.0, 200.0


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars above and below a zero line.

    Attributes:
        bars: x, width, y, height and CSS class of each bar; x and y are those of its upper left corner.
        zero: y of the zero line.
        top: Count that the upper edge stands for.
        bottom: Count that the lower edge stands for.
    """

    bars: tuple[tuple[float, float, float, float, str], ...]
    zero: float
    top: int
    bottom: int


def bars(moods: Sequence[SentimentCounts], apart: bool = True) -> Bars:
    """Draw positive documents above a line and negative ones below it, on one scale; or all documents above it.

    Args:
        moods: Documents by sentiment, one element per column of the chart.
        apart: Whether positive and negative ones are told apart.

    Returns:
        The bars, in a box of `WIDTH` by `HEIGHT`.
    """
    high, low = ([mood.positive if apart else mood.documents for mood in moods], [mood.negative * apart for mood in moods])
    top, bottom = max(high, default=0), max(low, default=0)
    scale = HEIGHT / max(1, top + bottom)
    zero = top * scale if top + bottom else HEIGHT / 2
    step = WIDTH / max(1, len(moods))
    gap = step * (0.18 if len(moods) > 40 else 0.26)
    made = []
    for number, (above, below) in enumerate(zip(high, low, strict=True)):
        x = number * step + gap / 2
        if above:
            made.append((x, step - gap, zero - above * scale, above * scale, "positive" if apart else "documents"))
        if below:
            made.append((x, step - gap, zero, below * scale, "negative"))
    return Bars(
        tuple((round(x, 2), round(w, 2), round(y, 2), round(h, 2), c) for x, w, y, h, c in made), round(zero, 2), top, bottom
    )


def spark(values: Sequence[float]) -> tuple[tuple[float, float, float, float], ...]:
    """Draw the columns of a sparkline in a box of 100 by 24.

    Args:
        values: One number per column, none below 0.

    Returns:
        x, width, y and height of each column; the highest one fills the chart.
    """
    most, step = max([*values, 0]) or 1, 100 / max(1, len(values))
    heights = [max(1.0, 24 * value / most) if value else 0.6 for value in values]
    return tuple(
        (round(n * step + step * 0.15, 2), round(step * 0.7, 2), round(24 - h, 2), round(h, 2)) for n, h in enumerate(heights)
    )
