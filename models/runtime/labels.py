"""The label sets, in the order of the model's outputs. Changing one changes the digest of every model.

The constants are those of the shipped models; a model trained on a user's own labels has a `LabelSet` of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

ENTITY_TYPES = ("PER", "ORG", "LOC", "MISC")
ENTITY_TAGS = ("O", *(f"{prefix}-{kind}" for kind in ENTITY_TYPES for prefix in "BI"))
SENTIMENTS = ("negative", "neutral", "positive")
# Universal POS tags, universaldependencies.org/u/pos
UPOS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM",
    "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X",
)  # fmt: skip
# Whether a token continues the word of the token before it.
JOINS = ("BEGIN", "INSIDE")


@dataclass(frozen=True, slots=True)
class LabelSet:
    """What one model tells apart, in the order of its outputs.

    One linear layer gives the outputs of the token tasks side by side: entity tags, parts of speech, joins. Another gives the
    classes of whole texts.

    Attributes:
        entities: Types of entities, such as PER; none if the model finds no entities.
        sentiments: Classes of whole texts; none if the model has none.
        words: Whether the model finds words and their parts of speech.
    """

    entities: tuple[str, ...] = ENTITY_TYPES
    sentiments: tuple[str, ...] = SENTIMENTS
    words: bool = True

    @property
    def entity_tags(self) -> tuple[str, ...]:
        """O, then B and I of each type."""
        return ("O", *(f"{prefix}-{kind}" for kind in self.entities for prefix in "BI"))

    @property
    def entity_slice(self) -> slice:
        """Where the entity tags are among a token's outputs."""
        return slice(0, 1 + 2 * len(self.entities))

    @property
    def upos_slice(self) -> slice:
        """Where the parts of speech are."""
        begin = self.entity_slice.stop
        return slice(begin, begin + self.words * len(UPOS))

    @property
    def join_slice(self) -> slice:
        """Where the two outputs are that tell words apart."""
        begin = self.upos_slice.stop
        return slice(begin, begin + self.words * len(JOINS))

    @property
    def token_outputs(self) -> int:
        """Outputs of each token."""
        return int(self.join_slice.stop)

    @property
    def text_outputs(self) -> int:
        """Outputs of the whole; one without a meaning where there are no classes."""
        return max(1, len(self.sentiments))

    @property
    def sound(self) -> bool:
        """Whether no type or class is named twice, and classes of `SENTIMENTS` are in the order that they have there.

        Capitals make no other name: SQL engines do not tell the fields of a struct apart by them.
        """
        moods = [name for name in self.sentiments if name in SENTIMENTS]
        once = all(len({name.casefold() for name in some}) == len(some) for some in (self.entities, self.sentiments))
        return once and all((*self.entities, *self.sentiments)) and moods == sorted(moods)


LABELS = LabelSet()
ENTITY_SLICE, UPOS_SLICE, JOIN_SLICE = LABELS.entity_slice, LABELS.upos_slice, LABELS.join_slice
NUM_TOKEN_OUTPUTS, NUM_SENTIMENTS = LABELS.token_outputs, LABELS.text_outputs

# Case of a token: how its word is written (6 kinds) x how many of its own letters are capitals (none, some, all).
WORD_CASES = ("no letters", "lower", "Title", "UPPER", "Single", "miXed")
NUM_CASES = len(WORD_CASES) * 3

# What a reader says: how well each token begins and ends the answer, and whether the passage answers the question.
SPAN_ENDS = ("start", "end")
ANSWERABLE = ("no", "yes")
# The case features of a question's tokens follow those of the passage's: so the model knows which is which.
READER_CASES = 2 * NUM_CASES
# Entities below this score are left out by default: on the real posts F1 is best there, see docs/decisions/0040-scores.md.
MIN_SCORE = 0.4
