"""Questions with their passages, a line each, into answers, a line each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from models.runtime.package import READER, installed
from models.runtime.reader import Reader, load_reader
from models.runtime.script import languages

# Questions that are read together: enough for full batches, few enough that answers come soon.
AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Readers:
    """The readers that are loaded, each when it is first needed.

    Args:
        load: Gives the reader of a language, or None where there is none.

    Attributes:
        loaded: Those that were asked for, by language.
    """

    load: Callable[[str], Reader | None]
    loaded: dict[str, Reader | None] = field(default_factory=dict)

    @classmethod
    def choose(cls, model: str, threads: int | None = None) -> Readers:
        """Choose the readers of all languages.

        Args:
            model: auto, which is the shipped reader of each language, or one reader for all: its name or its folder.
            threads: Of each reader; by default the CPUs that this process may use.

        Returns:
            The readers; none is loaded before the first question in its language.

        Raises:
            ModelError: By `of`: there is no such reader, or its files are damaged.
        """
        if model == "auto":
            shipped = installed(READER)
            return cls(lambda lang: load_reader(f"qa-{lang}", threads=threads) if f"qa-{lang}" in shipped else None)
        only = cache(lambda: load_reader(model, threads=threads))
        return cls(lambda lang: only())

    def of(self, question: str) -> Reader | None:
        """Find the reader of a question.

        Args:
            question: The question; one without letters is taken as English.

        Returns:
            The reader of the language of its script, or None where there is none.
        """
        lang = languages([question])[0] or "en"
        if lang not in self.loaded:
            self.loaded[lang] = self.load(lang)
        return self.loaded[lang]


def no_reader(question: str) -> str:
    """Say that no reader reads a question, and which readers there are.

    Args:
        question: The question.

    Returns:
        A message.
    """
    lang = languages([question])[0] or "en"
    return f"no reader for the language of this question ({lang}); there are: {', '.join(installed(READER)) or 'none'}"


@dataclass(slots=True)
class BatchCounts:
    """What came of a batch.

    Attributes:
        questions: Lines that were read; empty ones do not count.
        answered: Answers whose score is high enough.
        unanswered: Passages that do not answer the question.
        errors: Lines that are no question with a passage; each has a line that says why.
    """

    questions: int = 0
    answered: int = 0
    unanswered: int = 0
    errors: int = 0


@dataclass(slots=True)
class _Line:
    """A line as it was read: a question, or why it is none."""

    id: Any = None
    question: str = ""
    context: str = ""
    error: str = ""


def answer_lines(
    lines: Iterable[bytes], readers: Readers, min_score: float, counts: BatchCounts, check: Callable[[], object] = lambda: None
) -> Iterator[str]:
    """Answer questions of JSON lines.

    Args:
        lines: Each an object with `question`, `context` and mostly `id`, in UTF-8; of a missing id the number of the line is
            taken, from 1.
        readers: Of all languages.
        min_score: Answers below it are given as not answerable.
        counts: Is added to.
        check: Called after every batch of the model; what it raises ends the call.

    Yields:
        JSON, a line for each line that is not empty, in their order: `id`, `answer`, `start` and `end` in code points of the
        context, `score`, `answerable`. Where it is not answerable, `answer` is "" and the place null. A line that is no question
        has `id` and `error`.
    """
    waiting: list[_Line] = []
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        waiting.append(_parsed(raw, number))
        if len(waiting) == AT_ONCE:
            yield from _answered(waiting, readers, min_score, counts, check)
            waiting = []
    yield from _answered(waiting, readers, min_score, counts, check)


def _parsed(raw: bytes, number: int) -> _Line:
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return _Line(number, error=f"line {number}: not JSON ({error})")
    if not isinstance(record, dict):
        return _Line(number, error=f"line {number}: not a JSON object")
    id = record.get("id")
    id = number if id is None else id
    for key in ("question", "context"):
        if not isinstance(record.get(key), str):
            return _Line(id, error=f"line {number}: {key} is {'missing' if key not in record else 'no string'}")
    return _Line(id, record["question"], record["context"])


def _answered(
    lines: list[_Line], readers: Readers, min_score: float, counts: BatchCounts, check: Callable[[], object]
) -> Iterator[str]:
    by_reader: dict[int, tuple[Reader, list[int]]] = {}
    for i, line in enumerate(lines):
        if not line.error and not line.question.strip():
            line.error = "the question is empty"
        if line.error:
            continue
        reader = readers.of(line.question)
        if reader is None:
            line.error = no_reader(line.question)
        else:
            by_reader.setdefault(id(reader), (reader, []))[1].append(i)
    found: dict[int, dict[str, Any]] = {}
    for reader, mine in by_reader.values():
        answers = reader.read([lines[i].question for i in mine], [lines[i].context for i in mine], check)
        for i, answer in zip(mine, answers, strict=True):
            sure = bool(answer.text) and answer.score >= min_score
            counts.answered += sure
            counts.unanswered += not sure
            place = {"start": answer.start, "end": answer.end} if sure else {"start": None, "end": None}
            found[i] = {"answer": answer.text if sure else "", **place, "score": round(answer.score, 6), "answerable": sure}
    for i, line in enumerate(lines):
        counts.questions += 1
        counts.errors += bool(line.error)
        yield json.dumps({"id": line.id, **({"error": line.error} if line.error else found[i])}, ensure_ascii=False)
