"""Answers that were found in an index, and how sure it is that they are right.

A reader's own score is of a passage that is given to it. In an index most passages that are read hold no answer, and a reader
that must choose among ten of them is wrong more often than its score says. So the score of an answer that was found is made of
three things: how far its span is above no span, how well its passage was found, and at which rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from models.runtime.reader import Answer
from pipeline.ask.search import Passage

# By language and by whether passages are found by vectors too: the weights of the span's margin, of the passage's score and of
# log(1 + its rank from 0), and the constant of the logistic function that makes a probability of them. Fitted for the shipped
# readers by docs/measure/ask_score.py, on questions of which one in three is asked of an index that lacks its document.
WEIGHTS = {
    ("en", True): (0.18369, 2.35494, -0.82225, -5.14845),
    ("en", False): (0.21093, 2.26240, -0.82255, -4.27860),
    ("zh", False): (0.19029, 0.68929, -0.47992, -0.87189),
}
# Answers with a lower probability are none. Of the same 840 English questions 69 % get an answer then, of which 72 % are
# right, of 800 Chinese ones 81 % and 72 %; with 0.5 57 % and 76 %, 73 % and 74 %.
MIN_SCORE = 0.4


@dataclass(frozen=True, slots=True)
class FoundAnswer:
    """An answer, and where it stands.

    Attributes:
        answer: The answer in its passage.
        passage: The passage.
        logit: The score before the logistic function.
    """

    answer: Answer
    passage: Passage
    logit: float

    @property
    def score(self) -> float:
        """Probability that it is right; 0 where the passage holds no piece."""
        return 1.0 / (1.0 + math.exp(-self.logit)) if self.answer.text else 0.0

    @property
    def start(self) -> int:
        """Where it begins in its document, in code points."""
        return self.passage.start + self.answer.start

    @property
    def end(self) -> int:
        """Where it ends in its document."""
        return self.passage.start + self.answer.end


def found_answers(answers: Sequence[Answer], passages: Sequence[Passage], lang: str) -> list[FoundAnswer]:
    """Put together what was read and where it was found.

    Args:
        answers: What each passage says.
        passages: The passages, as many, best first.
        lang: Language of the reader.

    Returns:
        The answers with their passages, in the order of these.
    """
    vectors = any(passage.cosine is not None for passage in passages)
    span, fits, rank, constant = WEIGHTS.get((lang, vectors)) or WEIGHTS["en", vectors]
    return [
        FoundAnswer(
            answer, passage, span * max(-50.0, answer.margins[0]) + fits * passage.score + rank * math.log1p(place) + constant
        )
        for place, (answer, passage) in enumerate(zip(answers, passages, strict=True))
    ]


def surest_first(found: Sequence[FoundAnswer]) -> list[FoundAnswer]:
    """Order answers.

    Args:
        found: The answers.

    Returns:
        Those with the highest score first, equal ones by part and place; then those without a piece.
    """
    return sorted(found, key=lambda one: (not one.answer.text, -one.logit, one.passage.part, one.passage.row, one.passage.start))
