"""Persons' names as one word where a treebank cuts them: Chinese surnames and given names are words of their own to UD GSD."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# Languages whose readers take a person's name for one word.
LANGUAGES = ("zh",)
Whole = npt.NDArray[np.integer[Any]]


def whole_names(batch: pa.RecordBatch, rows: Whole, starts: Whole, ends: Whole) -> tuple[Whole, Whole]:
    """Find the persons whose names are several words.

    Args:
        batch: B documents with the columns `lang` and `entities` (lists of structs with `label`, `start` and `end`).
        rows: Place of each word's document in the batch, ascending, shape (W,).
        starts: Where each word begins in its text, ascending within a document, shape (W,).
        ends: Where each word ends, exclusive, shape (W,).

    Returns:
        Number of the first word of each such name, and of the word behind its last, int64; the name begins and ends with words.
    """
    found = batch["entities"].flatten()
    doc = np.repeat(np.arange(batch.num_rows), pc.list_value_length(batch["entities"]).to_numpy(zero_copy_only=False))
    read = pc.is_in(batch["lang"], value_set=pa.array(LANGUAGES)).to_numpy(zero_copy_only=False)
    persons = pc.equal(found.field("label"), "PER").to_numpy(zero_copy_only=False) & read[doc]
    doc = doc[persons]
    first, last = (found.field(name).to_numpy(zero_copy_only=False)[persons].astype(np.int64) for name in ("start", "end"))
    if not len(doc) or not len(rows):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    span = int(max(ends.max(), last.max())) + 1
    places = rows.astype(np.int64) * span + starts
    begin, behind = np.searchsorted(places, doc * span + first), np.searchsorted(places, doc * span + last)
    several = behind - begin > 1
    begin, behind, first, last = begin[several], behind[several], first[several], last[several]
    fits = (starts[begin] == first) & (ends[behind - 1] == last)
    return begin[fits], behind[fits]
