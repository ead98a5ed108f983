"""A question answered from an index: passages are found, read, and the surest answer is given with its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.runtime.reader import Reader
from pipeline.ask.found import MIN_SCORE
from pipeline.ask.readers import Readers, no_reader
from pipeline.ask.reading import READ, AskResult, QuestionReading
from pipeline.ask.search import Filters, PassageIndex
from pipeline.errors import ConfigError


class Asker:
    """Answers questions from an index.

    Args:
        index: The index.
        readers: Of all languages.
        min_score: Answers with a lower probability are none.
    """

    def __init__(self, index: PassageIndex, readers: Readers, min_score: float = MIN_SCORE) -> None:
        self.index, self._readers, self.min_score = index, readers, min_score

    def ask(
        self,
        question: str,
        filters: Filters | None = None,
        read: int = READ,
        check: Callable[[], object] = lambda: None,
        spoken: bool = False,
    ) -> AskResult:
        """Answer a question.

        Args:
            question: The question.
            filters: Which documents may answer.
            read: Passages that are read at most.
            check: Called after every batch of the model; what it raises ends the call.
            spoken: Whether it was spoken: then Chinese passages are also found by what they sound like.

        Returns:
            The surest answer, if there is one, and what else was read.

        Raises:
            ConfigError: The question is empty, or there is no reader for its language.
        """
        reading = self.begin(question, filters, read, spoken)
        while reading.wanted():
            self.read([reading], check)
        return reading.result()

    def reader_of(self, question: str) -> Reader:
        """Return what reads a question.

        Args:
            question: The question.

        Raises:
            ConfigError: The question is empty, or there is no reader for its language.
        """
        if not question.strip():
            raise ConfigError("the question is empty")
        reader = self._readers.of(question)
        if reader is None:
            raise ConfigError(no_reader(question))
        return reader

    def begin(self, question: str, filters: Filters | None = None, read: int = READ, spoken: bool = False) -> QuestionReading:
        """Find the passages that may answer a question.

        Args:
            question: The question.
            filters: Which documents may answer.
            read: Passages that are read at most.
            spoken: Whether it was spoken.

        Returns:
            The question with its passages, none of them read.

        Raises:
            ConfigError: The question is empty, or there is no reader for its language.
        """
        lang = self.reader_of(question).lang
        passages = self.index.search(question, read, filters, spoken)
        return QuestionReading(question, passages, self.index.generation, self.min_score, lang)

    def read(self, readings: Sequence[QuestionReading], check: Callable[[], object] = lambda: None) -> None:
        """Read what several questions want read, in full batches.

        Args:
            readings: The questions; what they want is read and given to them.
            check: Called after every batch of the model; what it raises ends the call.
        """
        by_reader: dict[int, tuple[Reader, list[QuestionReading]]] = {}
        for reading in readings:
            reader = self.reader_of(reading.question)
            by_reader.setdefault(id(reader), (reader, []))[1].append(reading)
        for reader, mine in by_reader.values():
            wanted = [reading.wanted() for reading in mine]
            asked = [reading.question for reading, some in zip(mine, wanted, strict=True) for _ in some]
            answers = iter(reader.read(asked, [passage.text for some in wanted for passage in some], check))
            for reading, some in zip(mine, wanted, strict=True):
                reading.give([next(answers) for _ in some])
