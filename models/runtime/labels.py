"""The label sets, in the order of the model's outputs. Changing one changes the digest of every model."""

from __future__ import annotations

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

# One linear layer gives the outputs of the three token tasks, side by side.
ENTITY_SLICE = slice(0, len(ENTITY_TAGS))
UPOS_SLICE = slice(ENTITY_SLICE.stop, ENTITY_SLICE.stop + len(UPOS))
JOIN_SLICE = slice(UPOS_SLICE.stop, UPOS_SLICE.stop + len(JOINS))
NUM_TOKEN_OUTPUTS = JOIN_SLICE.stop
NUM_SENTIMENTS = len(SENTIMENTS)

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
