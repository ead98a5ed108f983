"""Questions and the documents among which their answers are to be found: what finding is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from models.factory.reader_corpora import Question, read_questions

T = TypeVar("T")

# Corpora whose questions are asked, and how many of each (0 for all), evenly spaced; and corpora whose passages lie beside them,
# and how many of these. Readers learn from none of the first two of a language (news before HELD_OUT apart).
ASKED: dict[str, dict[str, int]] = {
    "en": {"tydi_goldp_en_dev": 0, "realtimeqa_2020_2024": 400, "multispanqa_valid": 400, "squad11_part": 760},
    "zh": {"cmrc2018_trial_dev": 0, "drcd_dev": 1403},
}
BESIDE: dict[str, dict[str, int]] = {
    "en": {"tydi_goldp_en_train": 2014},
    "zh": {"webqa_sample": 2000, "cmrc2018_train": 1619, "squad20_dev_zh_mt": 0},
}
# Corpora of which only questions with a date from this on are asked.
NEWEST = {"realtimeqa_2020_2024"}


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """Questions and documents.

    Attributes:
        questions: Each has an answer, in a passage that is one of the documents.
        corpus: Which corpus each question is of.
        documents: Different texts.
    """

    questions: list[Question]
    corpus: list[str]
    documents: list[str]


def retrieval_set(data_dir: Path, lang: str) -> RetrievalSet:
    """Read what finding is measured on in a language.

    Args:
        data_dir: Folder of the corpora.
        lang: en or zh.

    Returns:
        About 2,000 questions in either language; 7,000 documents in English, 6,000 in Chinese.

    Raises:
        DataMissingError: A corpus is not there.
    """
    questions: list[Question] = []
    corpus: list[str] = []
    documents: dict[str, None] = {}
    for name, most in ASKED[lang].items():
        read = [one for one in read_questions(data_dir, lang, name) if one.answers]
        documents.update(dict.fromkeys(one.context for one in read))
        if name in NEWEST:
            read = sorted(read, key=lambda one: one.date)[-most:]
        chosen = _spaced(read, most)
        questions += chosen
        corpus += [name] * len(chosen)
    for name, most in BESIDE[lang].items():
        contexts = list(dict.fromkeys(one.context for one in read_questions(data_dir, lang, name)))
        documents.update(dict.fromkeys(_spaced(contexts, most)))
    return RetrievalSet(questions, corpus, list(documents))


def _spaced(all_: list[T], most: int) -> list[T]:
    count = min(most or len(all_), len(all_))
    return [all_[i * len(all_) // count] for i in range(count)]
