"""The best sequence of entity tags of every text, by Viterbi's algorithm, without a Python loop over texts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.runtime.labels import ENTITY_TAGS
from models.runtime.tokenizer import Bool

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

# A table of transitions holds a row for every tag and one for what is before the first unit, a column for every tag. These are
# the sizes of the shipped models'.
START, NUM_TAGS = len(ENTITY_TAGS), len(ENTITY_TAGS)
# A unit that is outside with so much probability parts the stretches on which paths are sought.
SURE = 0.999
_NEVER = -1e4


def impossible(tags: int = NUM_TAGS) -> Bool:
    """Return the transitions that the BIO scheme rules out, bool, shape (tags + 1, tags).

    I of a type may only follow B or I of that type. Rows are the tag before (the last row: the beginning of a text), columns the
    tag after.

    Args:
        tags: Number of tags: O, then B and I of each type.
    """
    never = np.zeros((tags + 1, tags), dtype=bool)
    for begin in range(1, tags, 2):
        never[:, begin + 1] = True
        never[begin : begin + 2, begin + 1] = False
    return never


def viterbi_paths(p: Float32, new_doc: Bool, transitions: Float32) -> Int64:
    """Find each text's tag sequence with the highest sum of log probabilities and transition weights (Viterbi, 1967).

    Units whose probability of O is SURE or more are fixed as O, and the stretches between them are decoded side by side. So the
    number of steps in Python depends on the longest stretch, not on the length of a text.

    Args:
        p: Probabilities of the T tags, float32, shape (U, T).
        new_doc: Whether a unit is the first of its text, bool, shape (U,); no transition reaches from one text into the next.
        transitions: Weight of each step from a tag (row; the last is the beginning of a text) to the next (column), added to the
            log probabilities, float32, shape (T + 1, T).

    Returns:
        Tag of every unit, an index into the tags, int64, shape (U,); an I tag always follows B or I of its type.
    """
    codes = np.zeros(len(p), dtype=np.int64)
    inside = p[:, 0] < SURE
    begins = np.flatnonzero(inside & (new_doc | ~np.append(False, inside[:-1])))
    if not len(begins):
        return codes
    start = p.shape[1]
    steps = np.where(impossible(start), np.float32(_NEVER), transitions.astype(np.float32))
    stops = np.flatnonzero(inside & np.append(new_doc[1:] | ~inside[1:], True)) + 1
    order = np.argsort(begins - stops, kind="stable")  # the longest first: those that go on are always the first ones
    begins, stops = begins[order], stops[order]
    lengths = stops - begins
    going = np.searchsorted(-lengths, -np.arange(lengths[0]), side="left")  # how many are longer than that
    logs = np.log(np.maximum(p, np.float32(1e-12)))

    score = logs[begins] + np.where(new_doc[begins][:, None], steps[start], steps[0])
    came: list[npt.NDArray[np.int16]] = []
    for at in range(1, int(lengths[0])):
        n = going[at]
        options = score[:n, :, None] + steps[None, :start]
        came.append(options.argmax(axis=1).astype(np.int16))
        score[:n] = options.max(axis=1) + logs[begins[:n] + at]
    # A unit that is surely outside follows, or nothing.
    followed = np.append(~new_doc, False)[stops]
    tag = (score + np.where(followed[:, None], steps[:start, 0], 0)).argmax(axis=1)
    for at in range(int(lengths[0]) - 1, 0, -1):
        n = going[at]
        codes[begins[:n] + at] = tag[:n]
        tag[:n] = came[at - 1][np.arange(n), tag[:n]]
    codes[begins] = tag
    return codes
