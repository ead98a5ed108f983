"""Entities, words and classes of texts, coloured for the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from typing import Any

from rich.text import Text

COLOURS = {"PER": "black on green", "ORG": "black on cyan", "LOC": "black on yellow", "MISC": "black on magenta"}
# Types of a user's own model take those that are free, in their order.
PALETTE = (*COLOURS.values(), "black on bright_blue", "black on bright_red", "black on white", "white on blue")
SENTIMENT = {"negative": "red", "neutral": "white", "positive": "green"}


def plain(text: str, style: str = "") -> Text:
    """A document's words as they are: no markup, and a replacement sign for what could steer the terminal."""
    return Text("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text), style=style)


def colours(labels: Iterable[str]) -> dict[str, str]:
    """The style of each label, the same whenever the labels are: its own, or for a user's own type one that is free."""
    there = {*labels}
    known = {label: style for label, style in COLOURS.items() if label in there}
    free = cycle(style for style in PALETTE if style not in known.values())
    return known | dict(zip(sorted(there - known.keys()), free, strict=False))


def paint(text: str, entities: list[dict[str, Any]], styles: dict[str, str]) -> Text:
    """The text with each entity in its label's style."""
    painted = plain(text)
    for entity in entities:
        painted.stylize(styles[entity["label"]], entity["start"], entity["end"])
    return painted


def classed(name: str) -> Text:
    """A text's class: a sentiment in its colour, another one as it is."""
    return plain(name, SENTIMENT.get(name, ""))


def legend(styles: dict[str, str]) -> Text:
    """The labels in their styles."""
    return Text(" ").join(plain(f" {label} ", style) for label, style in styles.items())
