"""The figures of a model on the development splits, measured through the Tagger that users call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from models.errors import DataMissingError
from models.factory.corpora import CORPORA, Record, read
from models.runtime.labels import SENTIMENTS
from models.runtime.tagger import Tagger

ENTITY_SETS = ("conll2003", "btc", "wnut17")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, in per cent, and what it is."""

    key: str
    title: str


FIGURES = (
    Figure("conll2003_f1", "entities, conll2003 testa, strict span F1"),
    Figure("btc_f1", "entities, btc dev, strict span F1"),
    Figure("wnut17_f1", "entities, wnut17 dev (folded to 4 types), strict span F1"),
    Figure("sst2_accuracy", "sentiment, sst2 dev, accuracy (more positive or more negative)"),
    Figure("semeval2017_recall", "sentiment, semeval2017 dev, macro recall"),
    Figure("semeval2017_accuracy", "sentiment, semeval2017 dev, accuracy"),
    Figure("ewt_upos", "part of speech, ewt dev, UPOS accuracy of gold words"),
    Figure("ewt_words_f1", "words, ewt dev, segmentation F1"),
)


def evaluate(tagger: Tagger, data_dir: Path, split: str = "dev") -> dict[str, float]:
    """The figures that the data folder has gold labels for, in per cent, by the keys of `FIGURES`.

    Raises DataMissingError if it has none at all.
    """
    tasks: dict[str, Callable[[list[Record]], dict[str, float]]] = {
        **{name: partial(_entities, tagger, name) for name in ENTITY_SETS},
        "sst2": partial(binary_sentiment, tagger),
        "semeval2017": partial(ternary_sentiment, tagger),
        "ewt": partial(words_and_upos, tagger),
    }
    figures: dict[str, float] = {}
    missing: DataMissingError | None = None
    for name, task in tasks.items():
        try:
            records = read(name, data_dir, split)
        except DataMissingError as error:
            missing = error
            continue
        figures |= task(records)
    if not figures and missing is not None:
        raise missing
    return {key: round(100 * value, 2) for key, value in figures.items()}


def _entities(tagger: Tagger, name: str, records: list[Record]) -> dict[str, float]:
    return {f"{name}_f1": entity_f1(tagger, records, CORPORA[name].misc_known)}


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


def entity_f1(tagger: Tagger, records: Sequence[Record], keep_misc: bool = True) -> float:
    """Strict span F1, micro average (seqeval, IOB2). Without `keep_misc`, MISC is left out on both sides."""
    gold, found = [], []
    for record, row in zip(records, _rows(tagger, records), strict=True):
        tags = list(record.tags or ())
        gold.append(tags if keep_misc else ["O" if tag.endswith("MISC") else tag for tag in tags])
        found.append(project(record, row["entities"], keep_misc))
    return float(f1_score(gold, found, mode="strict", scheme=IOB2))


def _scores(tagger: Tagger, records: Sequence[Record]) -> tuple[Any, Any]:
    column = tagger.tag([record.text for record in records])["sentiment_scores"].combine_chunks()
    scores = np.stack([column.field(name).to_numpy() for name in SENTIMENTS], axis=1)
    return scores, np.array([record.sentiment for record in records])


def binary_sentiment(tagger: Tagger, records: Sequence[Record]) -> dict[str, float]:
    """Accuracy on two classes: which of negative and positive has the higher score."""
    scores, gold = _scores(tagger, records)
    return {"sst2_accuracy": float(np.mean((scores[:, 2] > scores[:, 0]) == (gold == 2)))}


def ternary_sentiment(tagger: Tagger, records: Sequence[Record]) -> dict[str, float]:
    """Macro recall (the shared task's measure, Rosenthal et al. 2017) and accuracy on three classes."""
    scores, gold = _scores(tagger, records)
    found = scores.argmax(axis=1)
    recalls = [np.mean(found[gold == label] == label) for label in range(len(SENTIMENTS))]
    return {"semeval2017_recall": float(np.mean(recalls)), "semeval2017_accuracy": float(np.mean(found == gold))}


def words_and_upos(tagger: Tagger, records: Sequence[Record]) -> dict[str, float]:
    """UPOS accuracy over gold words, and F1 of the words' extents (CoNLL 2018 shared task's Words).

    A gold word has the tag of the found word that holds its first character; raw text is tagged, gold words are not
    given to the model.
    """
    right = words = matched = found_words = 0
    for record, row in zip(records, _rows(tagger, records), strict=True):
        found = row["words"]
        found_words += len(found)
        extents = {(word["start"], word["end"]) for word in found}
        matched += sum(extent in extents for extent in record.words)
        starts = np.array([word["start"] for word in found])
        for (start, _), gold in zip(record.words, record.upos or (), strict=True):
            words += 1
            at = int(np.searchsorted(starts, start, side="right")) - 1
            right += at >= 0 and found[at]["pos"] == gold
    return {"ewt_upos": right / words, "ewt_words_f1": 2 * matched / (words + found_words)}
