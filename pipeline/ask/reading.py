"""How the passages of one question are read: the best ones first, and the others only while the answer is not sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from models.runtime.reader import Answer
from pipeline.ask.search import Passage

# Passages that are read at most, how many of them first, and the probability from which on an answer of those will do.
READ, FIRST, SURE = 10, 3, 0.6
# How much being found well counts beside what the reader says.
FOUND_WEIGHT = 8.0


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """An answer, and where it stands.

    Attributes:
        answer: The answer in its passage.
        passage: The passage.
        start: Where it begins in its document, in code points.
        end: Where it ends there.
    """

    answer: Answer
    passage: Passage

    @property
    def start(self) -> int:
        """Where it begins in its document, in code points."""
        return self.passage.start + self.answer.start

    @property
    def end(self) -> int:
        """Where it ends in its document."""
        return self.passage.start + self.answer.end


@dataclass(frozen=True, slots=True)
class AskResult:
    """What an index says to a question.

    Attributes:
        best: The surest answer; None if nothing here answers the question.
        others: What else was read, surest first; the best one first if it is not sure enough.
        unread: Passages that were found and not read, as the answer was sure before.
        generation: Generation of the index.
    """

    best: FoundAnswer | None
    others: list[FoundAnswer] = field(default_factory=list)
    unread: list[Passage] = field(default_factory=list)
    generation: int = 0


def order(answers: Sequence[Answer], passages: Sequence[Passage]) -> list[FoundAnswer]:
    """Order what was read: what the reader is sure of, and a little of how well the passage fits.

    Args:
        answers: What each passage says.
        passages: The passages, as many.

    Returns:
        The answers with their passages, surest first; equal ones by part and place.
    """
    found = [FoundAnswer(answer, passage) for answer, passage in zip(answers, passages, strict=True)]
    return sorted(
        found,
        key=lambda one: (
            -(one.answer.logit + FOUND_WEIGHT * one.passage.score), one.passage.part, one.passage.row, one.passage.start,
        ),
    )  # fmt: skip


class QuestionReading:
    """One question on its way through its passages. What is read hangs on its own answers alone, and never on who asks beside it.

    Args:
        question: The question.
        passages: The passages that were found, best first.
        generation: Generation of the index that they are from.
        min_score: Answers with a lower probability are none.

    Attributes:
        passages: The passages that were found, best first.
    """

    def __init__(self, question: str, passages: Sequence[Passage], generation: int, min_score: float) -> None:
        self.question, self.passages = question, list(passages)
        self._generation, self._min_score = generation, min_score
        self._answers: list[Answer] = []

    def wanted(self) -> list[Passage]:
        """Return the passages that are to be read next; none when the answer is known."""
        done = len(self._answers)
        if not done:
            return self.passages[:FIRST]
        if any(answer.text and answer.score >= max(SURE, self._min_score) for answer in self._answers):
            return []
        return self.passages[done:]

    def give(self, answers: Sequence[Answer]) -> None:
        """Take what the reader says of the passages that `wanted` named.

        Args:
            answers: One for each of them, in their order.
        """
        self._answers += answers

    def result(self) -> AskResult:
        """Return what came of it, when nothing is wanted any more."""
        read = len(self._answers)
        found = order(self._answers, self.passages[:read])
        unread = self.passages[read:]
        if found and found[0].answer.text and found[0].answer.score >= self._min_score:
            return AskResult(found[0], found[1:], unread, self._generation)
        return AskResult(None, found, unread, self._generation)
