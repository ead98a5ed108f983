"""The figures of a model on the development splits of its language, measured through the Tagger that users call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from models.errors import DataMissingError
from models.factory.corpora import read
from models.factory.corpus_readers import LabelledText
from models.runtime.labels import SENTIMENTS
from models.runtime.tagger import Tagger


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, in per cent, and what it is."""

    key: str
    title: str


class Measure(Protocol):
    """What a task measures of a tagger on gold records; keys are without the corpus's name."""

    def __call__(self, tagger: Tagger, records: Sequence[LabelledText]) -> dict[str, float]:
        """Measure a tagger.

        Args:
            tagger: The tagger.
            records: Gold records.

        Returns:
            Shares of 1, by key.
        """
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """What is measured on the dev split of one corpus, and the figures that this gives; their keys begin with `name`."""

    name: str
    corpus: str
    measure: Measure
    figures: tuple[Figure, ...]


def tasks_of(lang: str) -> tuple[Task, ...]:
    """Return the tasks of a language; none for one that the factory has no gold for.

    Args:
        lang: ISO 639-1.
    """
    return TASKS.get(lang, ())


def figures_of(lang: str) -> tuple[Figure, ...]:
    """Return the figures of a language, in the order in which cards show them.

    Args:
        lang: ISO 639-1.
    """
    return tuple(figure for task in tasks_of(lang) for figure in task.figures)


def evaluate(tagger: Tagger, data_dir: Path, split: str = "dev") -> dict[str, float]:
    """Measure a tagger on the corpora that the data folder has gold labels for.

    Raises DataMissingError if it has none at all.

    Args:
        tagger: The tagger.
        data_dir: Folder of the corpora.
        split: dev or test.

    Returns:
        The figures in per cent, by the keys of `figures_of(tagger.lang)`.

    Raises:
        DataMissingError: There is none.
    """
    figures: dict[str, float] = {}
    missing = DataMissingError(f"there is no gold for language {tagger.lang!r}; known are {', '.join(TASKS)}")
    for task in tasks_of(tagger.lang):
        try:
            records = read(task.corpus, data_dir, split)
        except DataMissingError as error:
            missing = error
            continue
        figures |= {f"{task.name}_{key}": value for key, value in task.measure(tagger, records).items()}
    if not figures:
        raise missing
    return {key: round(100 * value, 2) for key, value in figures.items()}


def _rows(tagger: Tagger, records: Sequence[LabelledText]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tagger.tag([record.text for record in records]).to_pylist()
    return rows


def project(record: LabelledText, entities: Sequence[dict[str, Any]], keep_misc: bool) -> list[str]:
    """Lay entities on the gold words, as BIO tags; one that does not begin and end with a word keeps its odd extent.

    A span that cuts a word gets a type of its own, so that it counts as wrong and hides no other.

    Args:
        record: The gold record.
        entities: What was found.
        keep_misc: Whether MISC counts.

    Returns:
        The tags.
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


def entity_f1(tagger: Tagger, records: Sequence[LabelledText], keep_misc: bool = True) -> dict[str, float]:
    """Measure strict span F1, micro average (seqeval, IOB2).

    Args:
        tagger: The tagger.
        records: Gold records.
        keep_misc: Without it, MISC is left out on both sides.

    Returns:
        The figure.
    """
    gold, found = [], []
    for record, row in zip(records, _rows(tagger, records), strict=True):
        tags = list(record.tags or ())
        gold.append(tags if keep_misc else ["O" if tag.endswith("MISC") else tag for tag in tags])
        found.append(project(record, row["entities"], keep_misc))
    return {"f1": float(f1_score(gold, found, mode="strict", scheme=IOB2))}


def sentiment_scores(tagger: Tagger, records: Sequence[LabelledText]) -> tuple[Any, Any]:
    """Ask for the sentiment of records.

    Args:
        tagger: The tagger.
        records: Gold records.

    Returns:
        What the tagger says, shape (n, 3), and what is true, shape (n,).
    """
    column = tagger.tag([record.text for record in records])["sentiment_scores"].combine_chunks()
    scores = np.stack([column.field(name).to_numpy() for name in SENTIMENTS], axis=1)
    return scores, np.array([record.sentiment for record in records])


def binary_sentiment(tagger: Tagger, records: Sequence[LabelledText]) -> dict[str, float]:
    """Measure accuracy on two classes: which of negative and positive has the higher score.

    Args:
        tagger: The tagger.
        records: Gold records.

    Returns:
        The figure.
    """
    scores, gold = sentiment_scores(tagger, records)
    return {"accuracy": float(np.mean((scores[:, 2] > scores[:, 0]) == (gold == 2)))}


def ternary_sentiment(tagger: Tagger, records: Sequence[LabelledText]) -> dict[str, float]:
    """Measure macro recall (the shared task's measure, Rosenthal et al. 2017) and accuracy on three classes.

    Args:
        tagger: The tagger.
        records: Gold records.

    Returns:
        The figures.
    """
    scores, gold = sentiment_scores(tagger, records)
    found = scores.argmax(axis=1)
    recalls = [np.mean(found[gold == label] == label) for label in range(len(SENTIMENTS))]
    return {"recall": float(np.mean(recalls)), "accuracy": float(np.mean(found == gold))}


def expected_calibration_error(confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_], bins: int = 10) -> float:
    """Compute the mean distance between confidence and share of right answers, over bins of equal width (Guo et al. 2017).

    Args:
        confidence: 0 to 1, shape (n,).
        right: Whether the answer is right, bool, shape (n,).
        bins: Number of bins; each is weighted by what is in it.

    Returns:
        0 to 1.
    """
    if not len(confidence):
        return 0.0
    which = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.bincount(which, weights=confidence - right, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def macro_f1(gold: npt.NDArray[np.integer], found: npt.NDArray[np.integer]) -> float:
    """Compute the mean F1 of the sentiments.

    Args:
        gold: What is true, shape (n,).
        found: What was found, shape (n,).

    Returns:
        0 to 1.
    """
    scores = []
    for label in range(len(SENTIMENTS)):
        both = np.sum(gold == label) + np.sum(found == label)
        scores.append(2 * np.sum((gold == label) & (found == label)) / both if both else 1.0)
    return float(np.mean(scores))


def posts(tagger: Tagger, records: Sequence[LabelledText], keep_misc: bool) -> dict[str, float]:
    """Measure what counts on whole posts.

    Args:
        tagger: The tagger.
        records: Gold records.
        keep_misc: Whether MISC counts.

    Returns:
        Sentiment's macro F1, how many of what is called negative are, strict F1 of the entities' extents and types, and the
        calibration
            errors of sentiment and of entities.
    """
    scores, gold = sentiment_scores(tagger, records)
    found = scores.argmax(axis=1)
    wanted = 0
    confidence: list[float] = []
    hits: list[bool] = []
    for record, row in zip(records, _rows(tagger, records), strict=True):
        spans = {span for span in record.spans or () if keep_misc or span[2] != "MISC"}
        wanted += len(spans)
        for entity in row["entities"]:
            if keep_misc or entity["label"] != "MISC":
                confidence.append(entity["score"])
                hits.append((entity["start"], entity["end"], entity["label"]) in spans)
    right = sum(hits)
    return {
        "macro_f1": macro_f1(gold, found),
        "negative_precision": float(np.mean(gold[found == 0] == 0)) if (found == 0).any() else 1.0,
        "f1": 2 * right / max(wanted + len(hits), 1),
        "sentiment_ece": expected_calibration_error(scores.max(axis=1), found == gold),
        "entity_ece": expected_calibration_error(np.array(confidence), np.array(hits, dtype=bool)),
    }


def words_and_upos(tagger: Tagger, records: Sequence[LabelledText]) -> dict[str, float]:
    """UPOS accuracy over gold words; F1 of the words' extents, and of extents with tag (CoNLL 2018 shared task's Words, UPOS).

    For the accuracy a gold word has the tag of the found word that holds its first character; raw text is tagged, gold
    words are not given to the model.

    Args:
        tagger: The tagger.
        records: Gold records.

    Returns:
        The figures.
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
    return Task(
        corpus, corpus, partial(entity_f1, keep_misc=keep_misc), (Figure(f"{corpus}_f1", f"entities, {title}, strict span F1"),)
    )


def _binary(corpus: str) -> Task:
    title = f"sentiment, {corpus} dev, accuracy (more positive or more negative)"
    return Task(corpus, corpus, binary_sentiment, (Figure(f"{corpus}_accuracy", title),))


def _ternary(corpus: str) -> Task:
    recall = Figure(f"{corpus}_recall", f"sentiment, {corpus} dev, macro recall")
    return Task(corpus, corpus, ternary_sentiment, (recall, Figure(f"{corpus}_accuracy", f"sentiment, {corpus} dev, accuracy")))


def _words(corpus: str) -> Task:
    figures = (
        Figure(f"{corpus}_upos", f"part of speech, {corpus} dev, UPOS accuracy of gold words"),
        Figure(f"{corpus}_words_f1", f"words, {corpus} dev, segmentation F1"),
        Figure(f"{corpus}_words_upos_f1", f"words with part of speech, {corpus} dev, F1"),
    )
    return Task(corpus, corpus, words_and_upos, figures)


def _posts(corpus: str, keep_misc: bool) -> Task:
    figures = (
        Figure("real_macro_f1", "real posts: sentiment, macro F1"),
        Figure("real_negative_precision", "real posts: of what is called negative, so many are"),
        Figure("real_f1", "real posts: entities, strict span F1"),
        Figure("real_sentiment_ece", "real posts: expected calibration error of sentiment (0 is best)"),
        Figure("real_entity_ece", "real posts: expected calibration error of entities (0 is best)"),
    )
    return Task("real", corpus, partial(posts, keep_misc=keep_misc), figures)


TASKS: dict[str, tuple[Task, ...]] = {
    "en": (
        _posts("real-en", keep_misc=True),
        _entities("conll2003", "conll2003 testa", keep_misc=True),
        _entities("conll2020", "conll2020 (news of 2020)", keep_misc=True),
        _entities("btc", "btc dev"),
        _entities("wnut17", "wnut17 dev (folded to 4 types)"),
        _binary("sst2"),
        _ternary("sst_phrases"),
        _ternary("semeval2017"),
        _words("ewt"),
    ),
    "zh": (
        _posts("real-zh", keep_misc=False),
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
