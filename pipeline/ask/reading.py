"""How the passages of one question are read: the best ones first, and the others only while the answer is not sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from models.runtime.reader import Answer
from pipeline.ask.found import FoundAnswer, found_answers, surest_first
from pipeline.ask.search import Passage

# Passages that are read at most, how many of them first, and the probability from which on an answer of those will do.
READ, FIRST, SURE = 6, 3, 0.2


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


class QuestionReading:
    """One question on its way through its passages. What is read hangs on its own answers alone, and never on who asks beside it.

    Args:
        question: The question.
        passages: The passages that were found, best first.
        generation: Generation of the index that they are from.
        min_score: Answers with a lower probability are none.
        lang: Language of the reader.

    Attributes:
        passages: The passages that were found, best first.
    """

    def __init__(self, question: str, passages: Sequence[Passage], generation: int, min_score: float, lang: str = "en") -> None:
        self.question, self.passages = question, list(passages)
        self._generation, self._min_score, self._lang = generation, min_score, lang
        self._answers: list[Answer] = []

    def wanted(self) -> list[Passage]:
        """Return the passages that are to be read next; none when the answer is known."""
        done = len(self._answers)
        if not done:
            return self.passages[:FIRST]
        if any(one.score >= SURE for one in self._found()):
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
        found, unread = surest_first(self._found()), self.passages[len(self._answers) :]
        if found and found[0].answer.text and found[0].score >= self._min_score:
            return AskResult(found[0], found[1:], unread, self._generation)
        return AskResult(None, found, unread, self._generation)

    def _found(self) -> list[FoundAnswer]:
        return found_answers(self._answers, self.passages[: len(self._answers)], self._lang)
