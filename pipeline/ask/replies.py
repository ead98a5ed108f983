"""What is said to a question, as JSON objects: by the command and by the service, in the same words."""

from __future__ import annotations

from typing import Any

from pipeline.ask.counting import CountedAnswer
from pipeline.ask.found import FoundAnswer
from pipeline.ask.reading import AskResult
from pipeline.ask.search import Passage


def passage_reply(passage: Passage) -> dict[str, Any]:
    """Return a passage with its document.

    Args:
        passage: The passage.
    """
    return {
        "id": passage.id, "source": passage.source, "time": passage.time.isoformat() if passage.time is not None else None,
        "lang": passage.lang, "sentiment": passage.sentiment or None, "passage": passage.text, "passage_start": passage.start,
        "part": passage.part, "row": passage.row,
    }  # fmt: skip


def answer_reply(found: FoundAnswer) -> dict[str, Any]:
    """Return an answer with its passage; `start` and `end` are in code points of the document.

    Args:
        found: The answer.
    """
    own = {"answer": found.answer.text, "score": round(found.score, 4), "start": found.start, "end": found.end}
    return {**own, **passage_reply(found.passage)}


def read_reply(question: str, result: AskResult) -> dict[str, Any]:
    """Return what was read of a question: the answer (null if nothing here answers it), and the other passages.

    Args:
        question: The question.
        result: What the index says.
    """
    return {
        "question": question, "kind": "span", "answer": answer_reply(result.best) if result.best is not None else None,
        "others": [answer_reply(one) for one in result.others], "unread": [passage_reply(one) for one in result.unread],
        "generation": result.generation,
    }  # fmt: skip


def counted_reply(question: str, counted: CountedAnswer, generation: int) -> dict[str, Any]:
    """Return what was counted, with the SQL that counted it.

    Args:
        question: The question.
        counted: The table.
        generation: Generation of the index whose output was counted.
    """
    return {
        "question": question, "kind": "table", "title": counted.title, "columns": counted.table.column_names,
        "rows": counted.table.to_pylist(), "sql": counted.sql, "generation": generation,
    }  # fmt: skip
