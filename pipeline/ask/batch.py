"""Questions, a line each, into answers, a line each: from the passage beside a question, or from an index."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from models.runtime.reader import Reader
from pipeline.ask.asker import Asker
from pipeline.ask.readers import Readers, no_reader
from pipeline.ask.replies import answer_reply

# Questions that are read together: enough for full batches, few enough that answers come soon.
AT_ONCE = 64
# Answers from a context with a lower probability are none.
MIN_SCORE = 0.5


@dataclass(slots=True)
class BatchCounts:
    """What came of a batch.

    Attributes:
        questions: Lines that were read; empty ones do not count.
        answered: Answers whose score is high enough.
        unanswered: Questions that their passage, or the index, does not answer.
        errors: Lines that are no question that can be asked; each has a line that says why.
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
    context: str | None = None
    error: str = ""


def answer_lines(
    lines: Iterable[bytes],
    readers: Readers,
    min_score: float,
    counts: BatchCounts,
    check: Callable[[], object] = lambda: None,
    asker: Asker | None = None,
) -> Iterator[str]:
    """Answer questions of JSON lines.

    Args:
        lines: Each an object with `question`, mostly `context` and `id`, in UTF-8; of a missing id the number of the line is
            taken, from 1.
        readers: Of all languages.
        min_score: Answers from a context with a lower score are given as not answerable.
        counts: Is added to.
        check: Called after every batch of the model; what it raises ends the call.
        asker: Answers questions without a context, by its own least score; None refuses them.

    Yields:
        JSON, a line for each line that is not empty, in their order: `id`, `answer`, `start` and `end` in code points of the
        context, `score`, `answerable`. Where it is not answerable, `answer` is "" and the place null. An answer of the index has
        its `document` too, with the passage and what is known of it; there `start` and `end` are of the document. A line that is
        no question has `id` and `error`.
    """
    waiting: list[_Line] = []
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        waiting.append(_parsed(raw, number, asker is not None))
        if len(waiting) == AT_ONCE:
            yield from _answered(waiting, readers, min_score, counts, check, asker)
            waiting = []
    yield from _answered(waiting, readers, min_score, counts, check, asker)


def _parsed(raw: bytes, number: int, indexed: bool) -> _Line:
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return _Line(number, error=f"line {number}: not JSON ({error})")
    if not isinstance(record, dict):
        return _Line(number, error=f"line {number}: not a JSON object")
    id = record.get("id")
    id = number if id is None else id
    for key in ("question", "context"):
        if key == "context" and record.get(key) is None and indexed:
            continue
        if not isinstance(record.get(key), str):
            return _Line(id, error=f"line {number}: {key} is {'missing' if key not in record else 'no string'}")
    return _Line(id, record["question"], record.get("context"))


def _answered(
    lines: list[_Line],
    readers: Readers,
    min_score: float,
    counts: BatchCounts,
    check: Callable[[], object],
    asker: Asker | None,
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
        elif line.context is not None:
            by_reader.setdefault(id(reader), (reader, []))[1].append(i)
    found = {} if asker is None else _from_index(lines, asker, check)
    for reader, mine in by_reader.values():
        answers = reader.read([lines[i].question for i in mine], [lines[i].context or "" for i in mine], check)
        for i, answer in zip(mine, answers, strict=True):
            sure = bool(answer.text) and answer.score >= min_score
            start, end = (answer.start, answer.end) if sure else (None, None)
            found[i] = _reply(answer.text if sure else "", start, end, answer.score, sure)
    for i, line in enumerate(lines):
        counts.questions += 1
        counts.errors += bool(line.error)
        reply = {"error": line.error} if line.error else found[i]
        counts.answered += bool(reply.get("answerable"))
        counts.unanswered += reply.get("answerable") is False
        yield json.dumps({"id": line.id, **reply}, ensure_ascii=False)


def _from_index(lines: list[_Line], asker: Asker, check: Callable[[], object]) -> dict[int, dict[str, Any]]:
    """Answers to the questions without a context, read together so that batches are full."""
    readings = {i: asker.begin(line.question) for i, line in enumerate(lines) if not line.error and line.context is None}
    while waiting := [reading for reading in readings.values() if reading.wanted()]:
        asker.read(waiting, check)
    found = {}
    for i, reading in readings.items():
        result = reading.result()
        if result.best is None:
            found[i] = _reply("", None, None, result.others[0].score if result.others else 0.0, False)
            continue
        said = answer_reply(result.best)
        place = said.pop("answer"), said.pop("start"), said.pop("end")
        found[i] = _reply(*place, result.best.score, True) | {"document": {k: v for k, v in said.items() if k != "score"}}
    return found


def _reply(answer: str, start: int | None, end: int | None, score: float, sure: bool) -> dict[str, Any]:
    return {"answer": answer, "start": start, "end": end, "score": round(score, 6), "answerable": sure}
