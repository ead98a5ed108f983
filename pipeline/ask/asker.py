"""A question answered from an index: passages are found, read, and the surest answer is given with its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from models.runtime.reader import Answer
from pipeline.ask.batch import Readers, no_reader
from pipeline.ask.search import Filters, Passage, PassageIndex
from pipeline.errors import ConfigError

# Passages that are read of those that are found, and how much being found well counts beside what the reader says.
READ = 10
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
        generation: Generation of the index.
    """

    best: FoundAnswer | None
    others: list[FoundAnswer] = field(default_factory=list)
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


class Asker:
    """Answers questions from an index.

    Args:
        index: The index.
        readers: Of all languages.
        min_score: Answers with a lower probability are none.
    """

    def __init__(self, index: PassageIndex, readers: Readers, min_score: float = 0.5) -> None:
        self._index, self._readers, self.min_score = index, readers, min_score

    def ask(
        self, question: str, filters: Filters | None = None, read: int = READ, check: Callable[[], object] = lambda: None
    ) -> AskResult:
        """Answer a question.

        Args:
            question: The question.
            filters: Which documents may answer.
            read: Passages that are read.
            check: Called after every batch of the model; what it raises ends the call.

        Returns:
            The surest answer, if there is one, and what else was read.

        Raises:
            ConfigError: The question is empty, or there is no reader for its language.
        """
        if not question.strip():
            raise ConfigError("the question is empty")
        reader = self._readers.of(question)
        if reader is None:
            raise ConfigError(no_reader(question))
        passages = self._index.search(question, read, filters)
        answers = reader.read([question] * len(passages), [passage.text for passage in passages], check)
        found = order(answers, passages)
        if found and found[0].answer.text and found[0].answer.score >= self.min_score:
            return AskResult(found[0], found[1:], self._index.generation)
        return AskResult(None, found, self._index.generation)
