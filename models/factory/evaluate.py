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
from models.factory.entity_scores import judged_entities
from models.factory.languages import language
from models.factory.probabilities import expected_calibration_error
from models.runtime.labels import SENTIMENTS
from models.runtime.tagger import Tagger


@dataclass(frozen=True, slots=True)
class Figure:
    """A published figure, in per cent.

    Attributes:
        key: Name in the figures of a model: name of the task and of the measure, joined by an underscore.
        title: What cards call it.
    """

    key: str
    title: str


class Measure(Protocol):
    """What a task measures of a tagger on gold records."""

    def __call__(self, tagger: Tagger, records: Sequence[LabelledText]) -> dict[str, float]:
        """Measure a tagger.

        Args:
            tagger: Tagger that is measured.
            records: Records with the gold labels that the measure needs.

        Returns:
            Shares of 1; their keys are the figures' keys without the task's name.
        """
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """A measure on the dev split of one corpus, and the figures that it yields.

    Attributes:
        name: What the keys of the figures begin with.
        corpus: Name of the corpus in `CORPORA`.
        measure: Computes the figures.
        figures: What the measure yields, in the order in which cards show them.
    """

    name: str
    corpus: str
    measure: Measure
    figures: tuple[Figure, ...]


def tasks_of(lang: str) -> tuple[Task, ...]:
    """Return the tasks of a language; none if the factory has no gold labels for it.

    Args:
        lang: ISO 639-1 code.
    """
    return TASKS.get(lang, ())


def figures_of(lang: str) -> tuple[Figure, ...]:
    """Return the figures of a language, in the order in which cards show them.

    Args:
        lang: ISO 639-1 code; a language without gold labels has no figures.
    """
    return tuple(figure for task in tasks_of(lang) for figure in task.figures)


def evaluate(tagger: Tagger, data_dir: Path, split: str = "dev") -> dict[str, float]:
    """Measure a tagger on every task of its language whose corpus is in the data folder.

    Tasks whose corpus or split is absent are left out.

    Args:
        tagger: Tagger that is measured; its language says which tasks.
        data_dir: Folder that holds the corpora.
        split: Split that is measured on; any other than `train` is a corpus's dev split.

    Returns:
        Figures in per cent, rounded to two decimals, by the keys of `figures_of(tagger.lang)`.

    Raises:
        DataMissingError: No corpus of the language's tasks is there, or the language has no tasks.
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
    """Express predicted entities as BIO tags of the gold words.

    An entity that does not begin and end with a gold word gets the type CUT on all words that it touches, so that it counts as
    wrong and does not hide another one.

    Args:
        record: Its words are tagged.
        entities: Predictions, each with `start`, `end` (code points) and `label`; a later one overwrites an earlier one.
        keep_misc: Whether MISC entities count; without it they are left out.

    Returns:
        One tag a word of the record.
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
    """Compute the strict F1 of entity spans, micro-averaged (seqeval, IOB2).

    Args:
        tagger: Tagger that is measured.
        records: Records with BIO tags.
        keep_misc: Whether MISC entities count; without it they are left out of gold and predictions.

    Returns:
        `f1`, a share of 1.
    """
    gold, found = [], []
    for record, row in zip(records, _rows(tagger, records), strict=True):
        tags = list(record.tags or ())
        gold.append(tags if keep_misc else ["O" if tag.endswith("MISC") else tag for tag in tags])
        found.append(project(record, row["entities"], keep_misc))
    return {"f1": float(f1_score(gold, found, mode="strict", scheme=IOB2))}


def sentiment_scores(tagger: Tagger, records: Sequence[LabelledText]) -> tuple[Any, Any]:
    """Tag records and put the predicted sentiment beside the gold one.

    Args:
        tagger: Tagger that is measured.
        records: N records, with gold sentiment if it is to be compared.

    Returns:
        Scores of the classes in the order of SENTIMENTS, float, shape (N, 3), and gold classes, int, shape (N,).
    """
    column = tagger.tag([record.text for record in records])["sentiment_scores"].combine_chunks()
    scores = np.stack([column.field(name).to_numpy() for name in SENTIMENTS], axis=1)
    return scores, np.array([record.sentiment for record in records])


def real_sentiment(tagger: Tagger, data_dir: Path) -> tuple[Any, Any]:
    """Tag the dev split of the real posts of a tagger's language and put the predicted sentiment beside the gold one.

    Args:
        tagger: The tagger.
        data_dir: Folder of the corpora.

    Returns:
        See `sentiment_scores`.

    Raises:
        DataMissingError: The posts are not there.
        RecipeError: The factory does not know the language.
    """
    return sentiment_scores(tagger, read(language(tagger.lang).posts, data_dir, "dev"))


def binary_sentiment(tagger: Tagger, records: Sequence[LabelledText]) -> dict[str, float]:
    """Compute the accuracy on two classes: the higher of the scores of negative and positive wins, whatever neutral's is.

    Args:
        tagger: Tagger that is measured.
        records: Records whose gold sentiment is negative or positive.

    Returns:
        `accuracy`, a share of 1.
    """
    scores, gold = sentiment_scores(tagger, records)
    return {"accuracy": float(np.mean((scores[:, 2] > scores[:, 0]) == (gold == 2)))}


def ternary_sentiment(tagger: Tagger, records: Sequence[LabelledText]) -> dict[str, float]:
    """Compute macro recall (the measure of SemEval-2017 task 4, Rosenthal et al., 2017) and accuracy on three classes.

    Args:
        tagger: Tagger that is measured.
        records: Records with gold sentiment; every class must occur.

    Returns:
        `recall` and `accuracy`, shares of 1.
    """
    scores, gold = sentiment_scores(tagger, records)
    found = scores.argmax(axis=1)
    recalls = [np.mean(found[gold == label] == label) for label in range(len(SENTIMENTS))]
    return {"recall": float(np.mean(recalls)), "accuracy": float(np.mean(found == gold))}


def macro_f1(gold: npt.NDArray[np.integer], found: npt.NDArray[np.integer]) -> float:
    """Compute the F1 of each sentiment and average them.

    Args:
        gold: True classes, int, shape (N,).
        found: Predicted classes, int, shape (N,).

    Returns:
        The mean, a share of 1; a class that is in neither array counts as 1.
    """
    scores = []
    for label in range(len(SENTIMENTS)):
        both = np.sum(gold == label) + np.sum(found == label)
        scores.append(2 * np.sum((gold == label) & (found == label)) / both if both else 1.0)
    return float(np.mean(scores))


def posts(tagger: Tagger, records: Sequence[LabelledText], keep_misc: bool) -> dict[str, float]:
    """Measure what counts on whole posts: sentiment, entities, and whether the scores of both are to be trusted.

    Args:
        tagger: Tagger that is measured.
        records: Posts with gold sentiment and spans.
        keep_misc: Whether MISC entities count; without it they are left out of gold and predictions.

    Returns:
        Shares of 1: `macro_f1` of sentiment; `negative_precision`, the share of true ones among posts called negative (1 if there
        are none); `f1` of the entities that count by default (see MIN_SCORE), by exact extent and type; `sentiment_ece` and
        `entity_ece`, expected calibration errors.
    """
    scores, gold = sentiment_scores(tagger, records)
    found = scores.argmax(axis=1)
    entities = judged_entities(tagger, records, keep_misc)
    return {
        "macro_f1": macro_f1(gold, found),
        "negative_precision": float(np.mean(gold[found == 0] == 0)) if (found == 0).any() else 1.0,
        "f1": entities.f1(entities.scores),
        "sentiment_ece": expected_calibration_error(scores.max(axis=1), found == gold),
        "entity_ece": expected_calibration_error(entities.scores, entities.right),
    }


def words_and_upos(tagger: Tagger, records: Sequence[LabelledText]) -> dict[str, float]:
    """Measure segmentation and part-of-speech tags on raw text; the model is not given the gold words.

    For the accuracy, a gold word has the tag of the predicted word that begins at its first character or last before it.

    Args:
        tagger: Tagger that is measured.
        records: Records with words and UPOS tags.

    Returns:
        Shares of 1: `upos`, accuracy over gold words; `words_f1`, F1 of the words' extents; `words_upos_f1`, F1 of extents with
        their tags (Words and UPOS of the CoNLL 2018 shared task).
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
