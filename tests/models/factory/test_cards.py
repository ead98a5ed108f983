"""What the cards of taggers show beside their figures: examples with their errors, and what the licences come to."""

import json

import pytest

import models
from models.factory.card_examples import EXAMPLES, example_rows, examples_table
from models.factory.card_text import card_text
from models.factory.languages import LANGUAGES
from models.runtime.labels import ENTITY_TYPES, MIN_SCORE, SENTIMENTS
from models.runtime.package import TAGGER, ZOO

SHIPPED = {
    path.parent.name: m
    for path in sorted(ZOO.glob("*/metrics.json"))
    if (m := json.loads(path.read_text())).get("task", TAGGER) == TAGGER
}


def test_what_is_wrong_in_an_example_stands_in_bold():
    row = {
        "text": "Ada met Bo in Lyon",
        "sentiment": "neutral",
        "entities": [["Ada", "PER"], ["Lyon", "LOC"]],
        "found": {"sentiment": ["positive", 0.61], "entities": [["Ada", "PER", 0.9], ["Bo in Lyon", "ORG", 0.5]]},
    }
    assert examples_table([row])[-2] == (
        "| Ada met Bo in Lyon | **positive 0.61** (neutral) | Ada PER 0.90, **Bo in Lyon ORG 0.50**, **missed: Lyon LOC** |"
    )
    right = {**row, "entities": [], "found": {"sentiment": ["neutral", 0.5], "entities": []}}
    assert examples_table([right])[-2] == "| Ada met Bo in Lyon | neutral 0.50 |  |"
    assert examples_table([]) == []


@pytest.mark.parametrize("lang", LANGUAGES)
def test_examples_are_of_their_own_text(lang):
    for one in EXAMPLES[lang]:
        assert one.sentiment in SENTIMENTS
        assert all(text in one.text and label in ENTITY_TYPES for text, label in one.entities)


def test_an_example_is_shown_as_the_model_tags_it():
    rows = example_rows(models.load("en-fast", threads=1))
    assert [row["text"] for row in rows] == [one.text for one in EXAMPLES["en"]]
    assert all(score >= MIN_SCORE for row in rows for _, _, score in row["found"]["entities"])
    assert any(row["found"]["entities"] for row in rows)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_in_the_zoo_is_what_its_figures_say(name):
    everyone = {key: m for key, m in SHIPPED.items() if m["lang"] == SHIPPED[name]["lang"]}
    assert (ZOO / name / "card.md").read_text() == "\n".join(card_text(SHIPPED[name], everyone, {})) + "\n"
