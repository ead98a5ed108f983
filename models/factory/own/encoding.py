"""A user's documents as training examples: windows of pieces, with the tag of every unit and the class of the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.factory.examples import IGNORE, Examples
from models.factory.own.documents import OwnDocument
from models.factory.own.spans import LabelledSpan
from models.runtime.batches import ranges
from models.runtime.labels import LabelSet
from models.runtime.tagger import Tagger
from models.runtime.tokenizer import Pieces

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OwnExamples:
    """Documents as a model reads them.

    Attributes:
        examples: The windows of all documents; a document without a piece, say an empty one, has none.
        widened: Entities that begin or end inside a unit of the tokenizer, and are learned as the whole units that they touch.
    """

    examples: Examples
    widened: int


def encode_documents(documents: Sequence[OwnDocument], tagger: Tagger, labels: LabelSet) -> OwnExamples:
    """Tokenize documents, cut the long ones into windows as the tagger does, and lay their labels on the units.

    Args:
        documents: Documents whose types and classes are all in `labels`.
        tagger: Its tokenizer reads them.
        labels: What the model will tell apart.

    Returns:
        The examples; labels that a document does not have are IGNORE, parts of speech and joins always.
    """
    pieces, windows, _ = tagger.encode([document.text for document in documents])
    tags, widened = _tags(documents, pieces, labels)
    classes = np.array([IGNORE if d.label is None else labels.sentiments.index(d.label) for d in documents], dtype=np.int8)

    lengths = windows.last - windows.first
    offsets = np.concatenate(([0], np.cumsum(lengths + 2)))
    inner = ranges(offsets[:-1] + 1, lengths)
    source = ranges(windows.first, lengths)
    total = int(offsets[-1])
    ids, cases, units = np.zeros(total, np.int32), np.zeros(total, np.uint8), np.zeros(total, bool)
    ids[offsets[:-1]], ids[offsets[1:] - 1] = tagger.tokenizer.cls_id, tagger.tokenizer.sep_id
    ids[inner], cases[inner], units[inner] = pieces.ids[source], pieces.cases[source], pieces.units[source]
    laid = np.full(total, IGNORE, dtype=np.int8)
    laid[inner] = tags[source]
    nothing = np.full(total, IGNORE, dtype=np.int8)
    return OwnExamples(Examples(ids, cases, laid, nothing, nothing, units, classes[windows.doc], offsets), widened)


def _tags(documents: Sequence[OwnDocument], pieces: Pieces, labels: LabelSet) -> tuple[npt.NDArray[np.int8], int]:
    """The entity tag of every piece that begins a unit, by its number among the tags, and how many entities were widened."""
    tags = np.full(len(pieces.ids), IGNORE, dtype=np.int8)
    widened = 0
    for number, document in enumerate(documents):
        if document.entities is None:
            continue
        begin, end = int(pieces.offsets[number]), int(pieces.offsets[number + 1])
        at = begin + np.flatnonzero(pieces.units[begin:end])
        tags[at] = 0
        if len(at):
            starts, ends = pieces.starts[at], pieces.ends[np.append(at[1:], end) - 1]
            widened += sum(_lay(span, tags, at, starts, ends, labels) for span in document.entities)
    return tags, widened


def _lay(
    span: LabelledSpan,
    tags: npt.NDArray[np.int8],
    at: Int64,
    starts: npt.NDArray[np.int32],
    ends: npt.NDArray[np.int32],
    labels: LabelSet,
) -> bool:
    """Tag the units of one entity; whether they reach beyond it."""
    inside = np.flatnonzero((starts < span.end) & (ends > span.start))
    if not len(inside):
        return True
    begin = 1 + 2 * labels.entities.index(span.label)
    tags[at[inside]] = begin + 1
    tags[at[inside[0]]] = begin
    return bool(starts[inside[0]] < span.start or ends[inside[-1]] > span.end)
