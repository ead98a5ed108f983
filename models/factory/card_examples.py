"""Sentences of ours in the cards of taggers: what the model says of them, and where it errs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.runtime.confidence import surer
from models.runtime.labels import MIN_SCORE
from models.runtime.tagger import Tagger


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence of ours with what is right.

    Attributes:
        text: The sentence.
        sentiment: Its sentiment.
        entities: Text and type of each of its entities.
    """

    text: str
    sentiment: str
    entities: tuple[tuple[str, str], ...] = ()


EXAMPLES = {
    "en": (
        Example(
            "Halden Motors recalls 40,000 vans after brake failures in Oslo",
            "negative",
            (("Halden Motors", "ORG"), ("Oslo", "LOC")),
        ),
        Example(
            "Maria Keller joins Volta Energy as chief engineer", "neutral", (("Maria Keller", "PER"), ("Volta Energy", "ORG"))
        ),
        Example("The Last Harbour is the best film I have seen this year", "positive", (("The Last Harbour", "MISC"),)),
        Example("Anyone tried the new tram line yet?", "neutral"),
        Example("my cat Biscuit just learned to open the fridge lol", "positive", (("Biscuit", "PER"),)),
        Example("No coffee at the Cork office again. Great.", "negative", (("Cork", "LOC"),)),
        Example("This update is sick!!", "positive"),
    ),
    "zh": (
        Example("王小明昨天从北京飞到上海", "neutral", (("王小明", "PER"), ("北京", "LOC"), ("上海", "LOC"))),
        Example("這家飯店的服務太差了", "negative"),
        Example("《远方的灯》今晚在央视播出", "neutral", (("《远方的灯》", "MISC"), ("央视", "ORG"))),
        Example("今天的晚霞真好看", "positive"),
        Example("有人去过新开的图书馆吗", "neutral"),
        Example("快递又丢了 真是太棒了呢", "negative"),
        Example("华辰科技发布新手机 Nova X2", "neutral", (("华辰科技", "ORG"),)),
    ),
}


def example_rows(tagger: Tagger) -> list[dict[str, Any]]:
    """Tag the examples of a tagger's language.

    Args:
        tagger: The tagger.

    Returns:
        Of each example its `text`, the `sentiment` and `entities` that are right, and what was `found`: sentiment and its score,
        and text, type and score of each entity that counts by default. Scores are rounded to two decimals.
    """
    examples = EXAMPLES.get(tagger.lang, ())
    rows = surer(tagger.tag([one.text for one in examples]), MIN_SCORE).to_pylist()
    return [
        {
            "text": one.text,
            "sentiment": one.sentiment,
            "entities": [list(entity) for entity in one.entities],
            "found": {
                "sentiment": [row["sentiment"], round(row["sentiment_scores"][row["sentiment"]], 2)],
                "entities": [[e["text"], e["label"], round(e["score"], 2)] for e in row["entities"]],
            },
        }
        for one, row in zip(examples, rows, strict=True)
    ]


def examples_table(rows: list[dict[str, Any]]) -> list[str]:
    """Write the section of a card that shows examples; what is wrong stands in bold, with what is right behind it.

    Args:
        rows: As from `example_rows`.

    Returns:
        Lines of Markdown; none without examples.
    """
    if not rows:
        return []
    lines = []
    for row in rows:
        mood, score = row["found"]["sentiment"]
        said = f"{mood} {score:.2f}"
        if mood != row["sentiment"]:
            said = f"**{said}** ({row['sentiment']})"
        right = [tuple(entity) for entity in row["entities"]]
        found = [(text, label) for text, label, _ in row["found"]["entities"]]
        shown = [
            f"{text} {label} {sure:.2f}" if (text, label) in right else f"**{text} {label} {sure:.2f}**"
            for text, label, sure in row["found"]["entities"]
        ]
        shown += [f"**missed: {text} {label}**" for text, label in right if (text, label) not in found]
        lines.append(f"| {row['text']} | {said} | {', '.join(shown)} |")
    return [
        "## Examples",
        "",
        "Sentences of ours. What is wrong stands in bold, with what is right behind it.",
        "",
        "| text | sentiment | entities |",
        "|---|---|---|",
        *lines,
        "",
    ]
