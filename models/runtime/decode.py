"""Scores to Arrow columns, without a Python loop over tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.errors import BadOutputError
from models.runtime.confidence import calibrated
from models.runtime.labels import LABELS, UPOS, LabelSet
from models.runtime.schema import ENTITY, WORD, schema_of
from models.runtime.tokenizer import Bool, Int32, Int64, Pieces
from models.runtime.viterbi import viterbi_paths

Float32 = npt.NDArray[np.float32]

# Languages without spaces: what is a word there is a matter of guidelines, and an entity may end inside one. Elsewhere no
# entity cuts a word.
BY_CHARACTER = frozenset({"zh"})


def softmax(logits: Float32) -> Float32:
    """Return the softmax over the last axis, float32, of the same shape.

    Args:
        logits: Logits, float32, shape (..., classes).
    """
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Float32 = shifted / shifted.sum(axis=-1, keepdims=True)
    return result


def check(scores: Float32) -> Float32:
    """Return the scores unchanged if all are finite.

    Args:
        scores: Logits from an engine, float32, of any shape.

    Raises:
        BadOutputError: A score is NaN or infinite.
    """
    if not np.isfinite(scores).all():
        raise BadOutputError("the engine gave scores that are not finite numbers; try another engine= or report the CPU")
    return scores


def _string_column(codes: npt.NDArray[np.integer], names: Sequence[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names, pa.string())).dictionary_decode()


def _lists(values: Sequence[pa.Array], struct: pa.StructType, doc_of: Int64, docs: int) -> pa.Array:
    """One list of structs a document, from the structs' columns in order of their documents."""
    counts = np.bincount(doc_of, minlength=docs) if docs else np.zeros(0, dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    kind = pa.list_(pa.field("item", struct, nullable=False))
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.StructArray.from_arrays(values, fields=list(struct)), type=kind
    )


def entity_spans(p: Float32, new_doc: Bool) -> tuple[Int64, Int64, Int64, Float32]:
    """Decode entities from tag probabilities unit by unit, their extent first and then their type.

    Each unit is O, B or I, whichever has the highest probability summed over the types. An entity's type is the one with the
    highest mean probability (B and I together) over its units, and that mean is its score. So "B-PER I-ORG" is one entity.

    Args:
        p: Probabilities of the T tags, float32, shape (U, T).
        new_doc: Whether a unit is the first of its text, bool, shape (U,); no entity reaches from one text into the next.

    Returns:
        First unit, last unit, type (its number) and score of each entity: int64, int64, int64, float32, shape (E,).
    """
    begin, inside = p[:, 1::2], p[:, 2::2]
    place = np.stack([p[:, 0], begin.sum(axis=1), inside.sum(axis=1)], axis=1).argmax(axis=1)
    entity = place > 0
    first_here = entity & ((place == 1) | new_doc | ~np.append(False, entity[:-1]))
    goes_on = np.append((entity & ~first_here)[1:], False)[: len(entity)]
    first, last = np.flatnonzero(first_here), np.flatnonzero(entity & ~goes_on)
    means = _means(p, first, last)
    kinds = means.argmax(axis=1) if len(first) else first  # there may be no types at all
    return first, last, kinds, means.max(axis=1, initial=0.0).astype(np.float32)


def path_spans(p: Float32, codes: Int64) -> tuple[Int64, Int64, Int64, Float32]:
    """Read entities off decoded tags; the score is the mean probability of the entity's type over its units.

    Args:
        p: Probabilities of the T tags, float32, shape (U, T).
        codes: Tags from `viterbi_paths`, int64, shape (U,): an I tag always follows a tag of its type.

    Returns:
        First unit, last unit, type (its number) and score of each entity: int64, int64, int64, float32, shape (E,).
    """
    first = np.flatnonzero(codes % 2 == 1)
    goes_on = np.append((codes > 0) & (codes % 2 == 0), False)[1:]
    last = np.flatnonzero((codes > 0) & ~goes_on)
    kind = (codes[first] - 1) // 2
    return first, last, kind, _means(p, first, last)[np.arange(len(first)), kind].astype(np.float32)


def _means(p: Float32, first: Int64, last: Int64) -> Float32:
    """Mean probability of every type over the units of every entity."""
    # Summed entity by entity: differences of a running sum would hang, in their last bit, on what came before.
    begin, inside = p[:, 1::2], p[:, 2::2]
    mass = np.concatenate([begin + inside, np.zeros((1, begin.shape[1]))])
    bounds = np.stack([first, last + 1], axis=1).ravel()
    sums = np.add.reduceat(mass, bounds, axis=0)[::2] if len(bounds) else np.zeros((0, begin.shape[1]))
    means: Float32 = sums / (last + 1 - first)[:, None]
    return means


def word_probabilities(p: Float32, begins: Bool) -> Float32:
    """Compute the tag probabilities of words from those of their units, so that no entity cuts a word.

    O and each type (B and I together) are averaged over the word's units; the split of a type into B and I is that of the word's
    first unit. A word of one unit keeps that unit's probabilities to the last bit.

    Args:
        p: Tag probabilities of the units, float32, shape (U, T).
        begins: Whether a unit is the first of its word, bool, shape (U,); True for the first unit of all.

    Returns:
        Tag probabilities of the words, float32, shape (W, T).
    """
    at = np.flatnonzero(begins)
    count = np.diff(np.append(at, len(p)))
    out: Float32 = p[at]
    # Words of one unit stay to the last bit what that is, whether or not others beside them have more.
    more = np.flatnonzero(count > 1)
    if not len(more):
        return out
    begin, inside = p[:, 1::2], p[:, 2::2]
    mass = np.add.reduceat(begin + inside, at, axis=0)[more] / count[more, None]
    first_begin, first_inside = begin[at[more]].sum(axis=1), inside[at[more]].sum(axis=1)
    share = (first_begin / np.maximum(first_begin + first_inside, 1e-9))[:, None]
    out[more, 0] = np.add.reduceat(p[:, 0], at)[more] / count[more]
    out[more, 1::2], out[more, 2::2] = mass * share, mass * (1 - share)
    return out


def decode(
    texts: Sequence[str],
    pieces: Pieces,
    tokens: Float32,
    sentiment: Float32,
    lang: str,
    transitions: Float32 | None = None,
    calibration: Sequence[float] = (),
    labels: LabelSet = LABELS,
) -> pa.Table:
    """Turn the scores of texts into the Tagger's table of words, parts of speech, entities and sentiment.

    Args:
        texts: B texts.
        pieces: Their N pieces.
        tokens: Token logits of the pieces, float32, shape (N, labels.token_outputs).
        sentiment: Probabilities of the classes, float32, shape (B, labels.text_outputs).
        lang: The model's language, ISO 639-1; it fills the column `lang`.
        transitions: Transition weights between entity tags, float32, shape (T + 1, T), see `viterbi_paths`; without
            them every unit's tag is decided for itself, see `entity_spans`.
        calibration: What makes probabilities of the entities' scores, see `calibrated`.
        labels: What the model tells apart.

    Returns:
        One row for each text, in their order, with the columns of `schema_of(labels)`.

    Raises:
        BadOutputError: A logit is NaN or infinite.
    """
    docs = len(pieces)
    unit = np.flatnonzero(pieces.units)
    doc_of = np.repeat(np.arange(docs), np.diff(pieces.offsets))[unit]
    starts = pieces.starts[unit]
    ends = pieces.ends[np.append(unit[1:], len(pieces.ids)) - 1] if len(unit) else starts
    scores = check(tokens[unit])

    joins = scores[:, labels.join_slice]
    begins = joins[:, 0] >= joins[:, 1] if labels.words else np.ones(len(unit), dtype=bool)
    # White space, and the end of a text, always part words.
    begins[:1] = True
    begins[1:] |= (doc_of[1:] != doc_of[:-1]) | (starts[1:] > ends[:-1])
    at = np.flatnonzero(begins)
    words = _Extents(starts[at], ends[np.append(at[1:], len(unit))[: len(at)] - 1], doc_of[at])
    p = softmax(scores[:, labels.entity_slice])
    if lang in BY_CHARACTER:
        found = _entities(texts, p, _Extents(starts, ends, doc_of), transitions, calibration, labels.entities)
    else:
        found = _entities(texts, word_probabilities(p, begins), words, transitions, calibration, labels.entities)

    schema = schema_of(labels)

    columns = [
        pa.array([lang], pa.string()).take(pa.array(np.zeros(docs, dtype=np.int64))),
        found,
        *_classes(sentiment, labels.sentiments, schema.field("sentiment_scores").type),
        _words(words, scores[at][:, labels.upos_slice], docs) if labels.words else _lists(_NO_WORDS, WORD, _NONE, docs),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _classes(probabilities: Float32, names: Sequence[str], struct: pa.StructType) -> list[pa.Array]:
    """The columns `sentiment` and `sentiment_scores`; nulls where there are no classes."""
    if not names:
        return [pa.nulls(len(probabilities), pa.string()), pa.nulls(len(probabilities), struct)]
    scores = [pa.array(np.ascontiguousarray(probabilities[:, i])) for i in range(len(names))]
    return [_string_column(probabilities.argmax(axis=1), names), pa.StructArray.from_arrays(scores, fields=list(struct))]


_NONE = np.zeros(0, dtype=np.int64)
_NO_WORDS = [pa.array([], field.type) for field in WORD]


def _words(words: _Extents, upos: Float32, docs: int) -> pa.Array:
    pos = _string_column(upos.argmax(axis=1), UPOS)
    return _lists([pa.array(words.starts), pa.array(words.ends), pos], WORD, words.doc, docs)


@dataclass(frozen=True, slots=True)
class _Extents:
    """What entities are made of: words, or the units of a language without spaces."""

    starts: Int32
    ends: Int32
    doc: Int64


def _entities(
    texts: Sequence[str],
    p: Float32,
    parts: _Extents,
    transitions: Float32 | None,
    calibration: Sequence[float],
    types: Sequence[str],
) -> pa.Array:
    new_doc = np.append(True, parts.doc[1:] != parts.doc[:-1])[: len(parts.doc)]
    if transitions is None:
        first, last, kind, score = entity_spans(p, new_doc)
    else:
        first, last, kind, score = path_spans(p, viterbi_paths(p, new_doc, transitions))
    start, end, doc = parts.starts[first], parts.ends[last], parts.doc[first]
    found = [texts[d][a:b] for d, a, b in zip(doc.tolist(), start.tolist(), end.tolist(), strict=True)]
    try:
        text = pa.array(found, pa.string())
    except UnicodeEncodeError:
        text = pa.array([s.encode("utf-8", "replace").decode() for s in found], pa.string())
    values = [text, _string_column(kind, types), pa.array(start), pa.array(end), pa.array(calibrated(score, calibration))]
    return _lists(values, ENTITY, doc, len(texts))
