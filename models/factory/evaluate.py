"""The figures of a model on the development splits of its language, measured through the Tagger that users call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from models.errors import DataMissingError
from models.factory.columns import Record
from models.factory.corpora import read
from models.runtime.labels import SENTIMENTS
from models.runtime.tagger import Tagger


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, in per cent, and what it is."""

    key: str
    title: str


class Measure(Protocol):
    """What a task measures of a tagger on gold records: shares of 1, without the corpus's name in their keys."""

    def __call__(self, tagger: Tagger, records: Sequence[Record]) -> dict[str, float]: ...


@dataclass(frozen=True, slots=True)
class Task:
    """What is measured on the dev split of one corpus, and the figures that this gives."""

    corpus: str
    measure: Measure
    figures: tuple[Figure, ...]


def tasks_of(lang: str) -> tuple[Task, ...]:
    """The tasks of a language; none for one that the factory has no gold for."""
    return TASKS.get(lang, ())


def figures_of(lang: str) -> tuple[Figure, ...]:
    """The figures of a language, in the order in which cards show them."""
    return tuple(figure for task in tasks_of(lang) for figure in task.figures)


def evaluate(tagger: Tagger, data_dir: Path, split: str = "dev") -> dict[str, float]:
    """The figures that the data folder has gold labels for, in per cent, by the keys of `figures_of(tagger.lang)`.

    Raises DataMissingError if it has none at all.
    """
    figures: dict[str, float] = {}
    missing = DataMissingError(f"there is no gold for language {tagger.lang!r}; known are {', '.join(TASKS)}")
    for task in tasks_of(tagger.lang):
        try:
            records = read(task.corpus, data_dir, split)
        except DataMissingError as error:
            missing = error
            continue
        figures |= {f"{task.corpus}_{key}": value for key, value in task.measure(tagger, records).items()}
    if not figures:
        raise missing
    return {key: round(100 * value, 2) for key, value in figures.items()}


def _rows(tagger: Tagger, records: Sequence[Record]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tagger.tag([record.text for record in records]).to_pylist()
    return rows


def project(record: Record, entities: Sequence[dict[str, Any]], keep_misc: bool) -> list[str]:
    """Entities as BIO tags on the gold words; one that does not begin and end with a word keeps its odd extent.

    A span that cuts a word gets a type of its own, so that it counts as wrong and hides no other.
    """
    tags = ["O"] * len(record.words)
    starts = {start: i for i, (start, _) in enumerate(record.words)}
    ends = {end: i for i, (_, end) in enumerate(record.words)}
    for entity in entities:
        if entity["label"] == "MISC" and not keep_misc:
            continue
        first, last = starts.get(entity["start"]), ends.get(entity["end"])
        kind = entity["label"] if first is not None and last is not None else "CUT"
        inside = [i for i, (a, b) in enumerate(record.words) if a < entity["end"] and b > entity["start"]]
        for n, i in enumerate(inside):
            tags[i] = ("I-" if n else "B-") + kind
    return tags


def entity_f1(tagger: Tagger, records: Sequence[Record], keep_misc: bool = True) -> dict[str, float]:
    """Strict span F1, micro average (seqeval, IOB2). Without `keep_misc`, MISC is left out on both sides."""
    gold, found = [], []
    for record, row in zip(records, _rows(tagger, records), strict=True):
        tags = list(record.tags or ())
        gold.append(tags if keep_misc else ["O" if tag.endswith("MISC") else tag for tag in tags])
        found.append(project(record, row["entities"], keep_misc))
    return {"f1": float(f1_score(gold, found, mode="strict", scheme=IOB2))}


def _scores(tagger: Tagger, records: Sequence[Record]) -> tuple[Any, Any]:
    column = tagger.tag([record.text for record in records])["sentiment_scores"].combine_chunks()
    scores = np.stack([column.field(name).to_numpy() for name in SENTIMENTS], axis=1)
    return scores, np.array([record.sentiment for record in records])


def binary_sentiment(tagger: Tagger, records: Sequence[Record]) -> dict[str, float]:
    """Accuracy on two classes: which of negative and positive has the higher score."""
    scores, gold = _scores(tagger, records)
    return {"accuracy": float(np.mean((scores[:, 2] > scores[:, 0]) == (gold == 2)))}


def ternary_sentiment(tagger: Tagger, records: Sequence[Record]) -> dict[str, float]:
    """Macro recall (the shared task's measure, Rosenthal et al. 2017) and accuracy on three classes."""
    scores, gold = _scores(tagger, records)
    found = scores.argmax(axis=1)
    recalls = [np.mean(found[gold == label] == label) for label in range(len(SENTIMENTS))]
    return {"recall": float(np.mean(recalls)), "accuracy": float(np.mean(found == gold))}


def words_and_upos(tagger: Tagger, records: Sequence[Record]) -> dict[str, float]:
    """UPOS accuracy over gold words; F1 of the words' extents, and of extents with tag (CoNLL 2018 shared task's Words, UPOS).

    For the accuracy a gold word has the tag of the found word that holds its first character; raw text is tagged, gold
    words are not given to the model.
    """
    right = words = matched = tagged = found_words = 0
    for record, row in zip(records, _rows(tagger, records), strict=True):
        found = row["words"]
        found_words += len(found)
        extents = {(word["start"], word["end"]): word["pos"] for word in found}
        starts = np.array([word["start"] for word in found])
        for extent, gold in zip(record.words, record.upos or (), strict=True):
            words += 1
            matched += extent in extents
            tagged += extents.get(extent) == gold
            at = int(np.searchsorted(starts, extent[0], side="right")) - 1
            right += at >= 0 and found[at]["pos"] == gold
    both = words + found_words
    return {"upos": right / words, "words_f1": 2 * matched / both, "words_upos_f1": 2 * tagged / both}


def _entities(corpus: str, title: str, keep_misc: bool = False) -> Task:
    return Task(corpus, partial(entity_f1, keep_misc=keep_misc), (Figure(f"{corpus}_f1", f"entities, {title}, strict span F1"),))


def _binary(corpus: str) -> Task:
    title = f"sentiment, {corpus} dev, accuracy (more positive or more negative)"
    return Task(corpus, binary_sentiment, (Figure(f"{corpus}_accuracy", title),))


def _ternary(corpus: str) -> Task:
    recall = Figure(f"{corpus}_recall", f"sentiment, {corpus} dev, macro recall")
    return Task(corpus, ternary_sentiment, (recall, Figure(f"{corpus}_accuracy", f"sentiment, {corpus} dev, accuracy")))


def _words(corpus: str) -> Task:
    figures = (
        Figure(f"{corpus}_upos", f"part of speech, {corpus} dev, UPOS accuracy of gold words"),
        Figure(f"{corpus}_words_f1", f"words, {corpus} dev, segmentation F1"),
        Figure(f"{corpus}_words_upos_f1", f"words with part of speech, {corpus} dev, F1"),
    )
    return Task(corpus, words_and_upos, figures)


TASKS: dict[str, tuple[Task, ...]] = {
    "en": (
        _entities("conll2003", "conll2003 testa", keep_misc=True),
        _entities("btc", "btc dev"),
        _entities("wnut17", "wnut17 dev (folded to 4 types)"),
        _binary("sst2"),
        _ternary("semeval2017"),
        _words("ewt"),
    ),
    "zh": (
        _entities("msra", "msra dev"),
        _entities("weibo", "weibo dev (names, folded to PER, ORG, LOC)"),
        _entities("cluener", "cluener dev (folded to PER, ORG, LOC)"),
        _binary("chnsenticorp"),
        _binary("waimai"),
        _ternary("smp2020"),
        _words("gsdsimp"),
        _words("gsd"),
    ),
}
