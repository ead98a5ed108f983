"""Scores to Arrow columns, without a Python loop over tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.errors import BadOutputError
from models.runtime.labels import ENTITY_SLICE, ENTITY_TYPES, JOIN_SLICE, SENTIMENTS, UPOS, UPOS_SLICE
from models.runtime.schema import ENTITY, SENTIMENT_SCORES, TAGS, WORD
from models.runtime.tokenizer import Bool, Int32, Int64, Pieces

Float32 = npt.NDArray[np.float32]


def softmax(logits: Float32) -> Float32:
    """Softmax over the last axis, float32."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Float32 = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def check(scores: Float32) -> Float32:
    """The scores, if all are finite; else BadOutputError."""
    if not np.isfinite(scores).all():
        raise BadOutputError("the engine gave scores that are not finite numbers; try another engine= or report the CPU")
    return scores


def _string_column(codes: npt.NDArray[np.integer], names: Sequence[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names, pa.string())).dictionary_decode()


def _lists(values: pa.Array, doc_of: Int64, docs: int) -> pa.Array:
    """One list a document, from values in order of their documents."""
    counts = np.bincount(doc_of, minlength=docs) if docs else np.zeros(0, dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    kind = pa.list_(pa.field("item", values.type, nullable=False))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, type=kind)


def _extents(first: Bool, starts: Int32, ends: Int32) -> tuple[Int32, Int32]:
    """Start and end of every run of units; a run begins where `first` is True and holds all units up to the next."""
    at = np.flatnonzero(first)
    last = np.append(at[1:], len(first))[: len(at)] - 1
    return starts[at], ends[last]


def entity_spans(tags: Int64, new_doc: Bool) -> tuple[Int64, Int64]:
    """First and last unit of every entity, from one tag a unit (indices into ENTITY_TAGS).

    An entity begins at a B-, and at an I- that continues nothing of its own type (the CoNLL convention).
    """
    kind = (tags + 1) // 2  # 0 for O, 1 + index of the type otherwise
    before = np.concatenate(([0], kind[:-1])) if len(kind) else kind
    begins = (kind > 0) & ((tags % 2 == 1) | (kind != before) | new_doc)
    inside_before = (kind > 0) & ~begins
    first = np.flatnonzero(begins)
    goes_on = np.append(inside_before[1:], False) if len(kind) else inside_before
    last = np.flatnonzero((kind > 0) & ~goes_on)
    return first, last


def decode(texts: Sequence[str], pieces: Pieces, tokens: Float32, sentiment: Float32, lang: str) -> pa.Table:
    """The Tagger's table for B texts, from token logits [N, K] of all their pieces and sentiment scores [B, 3]."""
    docs = len(pieces)
    unit = np.flatnonzero(pieces.units)
    doc_of = np.repeat(np.arange(docs), np.diff(pieces.offsets))[unit]
    new_doc = np.ones(len(unit), dtype=bool)
    new_doc[1:] = doc_of[1:] != doc_of[:-1]
    starts = pieces.starts[unit]
    ends = pieces.ends[np.append(unit[1:], len(pieces.ids)) - 1] if len(unit) else starts
    scores = check(tokens[unit])

    columns = [
        pa.array([lang], pa.string()).take(pa.array(np.zeros(docs, dtype=np.int64))),
        _entities(texts, scores[:, ENTITY_SLICE], starts, ends, doc_of, new_doc, docs),
        _string_column(sentiment.argmax(axis=1), SENTIMENTS),
        pa.StructArray.from_arrays(
            [pa.array(np.ascontiguousarray(sentiment[:, i])) for i in range(len(SENTIMENTS))],
            fields=list(SENTIMENT_SCORES),
        ),
        _words(scores, starts, ends, doc_of, new_doc, docs),
    ]
    return pa.Table.from_arrays(columns, schema=TAGS)


def _entities(
    texts: Sequence[str], logits: Float32, starts: Int32, ends: Int32, doc_of: Int64, new_doc: Bool, docs: int
) -> pa.Array:
    tags = logits.argmax(axis=1)
    first, last = entity_spans(tags, new_doc)
    certainty = np.concatenate(([0.0], np.cumsum(softmax(logits).max(axis=1), dtype=np.float64)))
    score = (certainty[last + 1] - certainty[first]) / (last + 1 - first)
    start, end, doc = starts[first], ends[last], doc_of[first]
    found = [texts[d][a:b] for d, a, b in zip(doc.tolist(), start.tolist(), end.tolist(), strict=True)]
    try:
        text = pa.array(found, pa.string())
    except UnicodeEncodeError:
        text = pa.array([s.encode("utf-8", "replace").decode() for s in found], pa.string())
    labels = _string_column((tags[first] + 1) // 2 - 1, ENTITY_TYPES)
    values = [text, labels, pa.array(start), pa.array(end), pa.array(score.astype(np.float32))]
    return _lists(pa.StructArray.from_arrays(values, fields=list(ENTITY)), doc, docs)


def _words(scores: Float32, starts: Int32, ends: Int32, doc_of: Int64, new_doc: Bool, docs: int) -> pa.Array:
    joins = scores[:, JOIN_SLICE]
    begins = new_doc | (joins[:, 0] >= joins[:, 1])
    # White space always parts words.
    begins[1:] |= starts[1:] > ends[:-1]
    start, end = _extents(begins, starts, ends)
    pos = _string_column(scores[begins][:, UPOS_SLICE].argmax(axis=1), UPOS)
    return _lists(pa.StructArray.from_arrays([pa.array(start), pa.array(end), pos], fields=list(WORD)), doc_of[begins], docs)
