"""Entities and words of one text, coloured for the terminal."""

from __future__ import annotations

from typing import Any

from rich.text import Text

COLOURS = {"PER": "black on green", "ORG": "black on cyan", "LOC": "black on yellow", "MISC": "black on magenta"}
SENTIMENT = {"negative": "red", "neutral": "white", "positive": "green"}


def plain(text: str, style: str = "") -> Text:
    """A document's words as they are: no markup, and a replacement sign for what could steer the terminal."""
    return Text("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text), style=style)


def paint(text: str, entities: list[dict[str, Any]]) -> Text:
    """The text with each entity on its label's colour."""
    painted = plain(text)
    for entity in entities:
        painted.stylize(COLOURS[entity["label"]], entity["start"], entity["end"])
    return painted


def legend() -> Text:
    """The labels on their colours."""
    return Text(" ").join(Text(f" {label} ", style=style) for label, style in COLOURS.items())
