"""Questions with passages and answers, as the corpora hold them, and which corpora a reader learns from and is measured on."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from models.errors import DataMissingError


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a passage.

    Attributes:
        id: As the corpus names it.
        question: The question.
        context: The passage.
        answers: Spans of the passage that answer it, as begin and end in code points; none where the passage does not answer.
        date: Day of the passage, "" where the corpus does not say.
    """

    id: str
    question: str
    context: str
    answers: tuple[tuple[int, int], ...]
    date: str = ""

    @property
    def texts(self) -> list[str]:
        """The answers as texts."""
        return [self.context[start:end] for start, end in self.answers]


@dataclass(frozen=True, slots=True)
class QuestionCorpus:
    """A corpus of the training mixture.

    Attributes:
        name: File below qa/LANG, without .jsonl.gz.
        repeats: How often each question is drawn, also less than once.
        before: Only questions of passages before this day.
    """

    name: str
    repeats: float = 1.0
    before: str = ""


# From this day on realtimeqa is for measuring: a reader meets news that came after all that it has learnt.
HELD_OUT = "2024-01-01"
TRAIN: dict[str, tuple[QuestionCorpus, ...]] = {
    "en": (
        QuestionCorpus("squad11_part", 2.0),
        QuestionCorpus("tydi_goldp_en_train", 3.0),
        QuestionCorpus("realtimeqa_2020_2024", 3.0, before=HELD_OUT),
        QuestionCorpus("qamr_dev_test", 0.6),
        QuestionCorpus("qa_zre", 0.5),
        QuestionCorpus("tweetqa_extractive", 1.0),
        QuestionCorpus("fairytaleqa_extractive", 0.5),
        QuestionCorpus("policyqa_dev_test", 0.15),
        QuestionCorpus("sciq_part_extractive", 0.5),
        QuestionCorpus("multispanqa_valid", 1.0),
        QuestionCorpus("bipar_valid_dev", 0.5),
        QuestionCorpus("subjqa_train", 0.1),
    ),
    "zh": (
        QuestionCorpus("cmrc2018_train", 1.3),
        QuestionCorpus("squad20_dev_zh_mt", 1.0),
        QuestionCorpus("cjrc_law_dev_test", 0.25),
        QuestionCorpus("webqa_sample", 1.0),
        QuestionCorpus("bipar_valid_dev", 0.5),
    ),
}
# Name of the figure -> corpus.
DEV: dict[str, dict[str, str]] = {
    "en": {"tydi": "tydi_goldp_en_dev", "realtimeqa": "realtimeqa_2020_2024"},
    "zh": {"cmrc": "cmrc2018_trial_dev", "drcd": "drcd_dev"},
}


def read_questions(data_dir: Path, lang: str, name: str) -> list[Question]:
    """Read a corpus.

    Args:
        data_dir: Folder of the corpora.
        lang: en or zh.
        name: File below qa/LANG, without .jsonl.gz.

    Returns:
        Its questions, in their order.

    Raises:
        DataMissingError: The file is not there, or is no such corpus.
    """
    path = data_dir / "qa" / lang / f"{name}.jsonl.gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [_question(json.loads(line)) for line in lines]
    except FileNotFoundError as error:
        raise DataMissingError(f"{path}: no such corpus; --data-dir names the folder that holds qa/") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataMissingError(f"{path}: not a corpus of questions ({type(error).__name__}: {error})") from error


def _question(record: dict[str, object]) -> Question:
    answers = tuple((int(one["start"]), int(one["start"]) + len(one["text"])) for one in record["answers"])  # type: ignore[attr-defined]
    date = str(record.get("date", ""))
    found = Question(str(record["id"]), str(record["question"]), str(record["context"]), answers, date)
    if any(not 0 <= start < end <= len(found.context) for start, end in answers):
        raise ValueError(f"question {found.id}: an answer outside of its passage")
    return found


def training_corpora(lang: str, also: Mapping[str, float] = MappingProxyType({})) -> dict[str, tuple[str, QuestionCorpus]]:
    """Choose the corpora that a reader of a language learns from.

    Args:
        lang: en or zh.
        also: Another language -> how often its corpora are drawn beside, times what they are for a reader of it.

    Returns:
        Name in the mixture -> language and corpus; a name is LANG/NAME where the corpus is of another language.
    """
    own = {corpus.name: (lang, corpus) for corpus in TRAIN[lang]}
    others = {
        f"{other}/{corpus.name}": (other, replace(corpus, repeats=corpus.repeats * factor))
        for other, factor in also.items()
        for corpus in TRAIN[other]
    }
    return own | others


def training_questions(
    data_dir: Path, lang: str, also: Mapping[str, float] = MappingProxyType({})
) -> list[tuple[str, QuestionCorpus, list[Question]]]:
    """Read all corpora that a reader of a language learns from.

    Args:
        data_dir: Folder of the corpora.
        lang: en or zh.
        also: See `training_corpora`.

    Returns:
        Each corpus with its name in the mixture and its questions.

    Raises:
        DataMissingError: A file is not there, or is no such corpus.
    """
    found = []
    for name, (language, corpus) in training_corpora(lang, also).items():
        questions = read_questions(data_dir, language, corpus.name)
        found.append((name, corpus, [one for one in questions if not corpus.before or one.date < corpus.before]))
    return found


def dev_questions(data_dir: Path, lang: str) -> dict[str, list[Question]]:
    """Read what a reader of a language is measured on.

    Args:
        data_dir: Folder of the corpora.
        lang: en or zh.

    Returns:
        Name of the figure -> questions.

    Raises:
        DataMissingError: A file is not there, or is no such corpus.
    """
    before = {corpus.name: corpus.before for corpus in TRAIN[lang]}
    read = {figure: read_questions(data_dir, lang, name) for figure, name in DEV[lang].items()}
    return {figure: [one for one in read[figure] if one.date >= before.get(name, "")] for figure, name in DEV[lang].items()}


def unanswerable(questions: Sequence[Question], every: int, near: int = 6) -> list[Question]:
    """Ask questions of passages beside their own that do not hold the answer: what is on the topic and does not say it.

    Corpora keep passages of one article together, so that a neighbour is mostly of the same topic.

    Args:
        questions: Questions of one corpus, in its order.
        every: One question in so many is asked so.
        near: Passages on either side that may be taken.

    Returns:
        New questions without an answer.
    """
    contexts = list(dict.fromkeys(one.context for one in questions))
    at = {context: i for i, context in enumerate(contexts)}
    found: list[Question] = []
    for number, one in enumerate(questions):
        if number % every or not one.answers:
            continue
        here, texts = at[one.context], [text.lower() for text in one.texts]
        steps = [step for pair in zip(range(1, near + 1), range(-1, -near - 1, -1), strict=True) for step in pair]
        steps = steps[number // every % len(steps) :] + steps[: number // every % len(steps)]
        for step in steps:
            if 0 <= here + step < len(contexts) and not any(text in contexts[here + step].lower() for text in texts):
                found.append(Question(f"{one.id}/none", one.question, contexts[here + step], ()))
                break
    return found
