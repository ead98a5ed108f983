"""Rows of a Tagger's table as a few bytes each, and back. No text is stored: an entity's text is the text's slice."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.runtime.labels import LABELS, UPOS, LabelSet
from models.runtime.schema import ENTITY, WORD, schema_of

Int64 = npt.NDArray[np.int64]
_WIDTHS: dict[int, Any] = {1: np.dtype("u1"), 4: np.dtype("<u4")}


class RowCodec:
    """Encodes rows of a Tagger's table as bytes, and decodes them with the help of their texts.

    A row is a head of fixed size, followed by the entities and then the words. For each of the two it holds the places (the gap
    before each item and the item's length, in code points, in one byte each, or four where one does not suffice), then the
    labels' numbers, one byte each, and for entities the scores in float32. The text of an entity is not stored.

    Args:
        langs: Values that the column `lang` may hold; a row stores the number of its own, so their order matters.
        labels: What the models tell apart; a row stores the numbers of types and classes, so their order matters too.
    """

    def __init__(self, langs: Sequence[str], labels: LabelSet = LABELS) -> None:
        self._langs, self._types, self._classes = tuple(langs), labels.entities, labels.sentiments
        self._schema = schema_of(labels)
        # Language, class, bytes of a place of entities and of words, the scores of the classes, how many entities and words.
        self._head = struct.Struct(f"<BBBB{len(labels.sentiments)}fII")

    def encode(self, table: pa.Table) -> list[bytes | None]:
        """Encode the rows of a table.

        Args:
            table: Table with the columns of `models.TAGS`, or of the model's own classes.

        Returns:
            The bytes of each row; None for a row that this form cannot hold, such as one with an unknown label or with
            overlapping entities.
        """
        table = table.combine_chunks()
        count = table.num_rows
        if not count:
            return []
        lang = _codes(table["lang"], self._langs)
        if self._classes:
            sentiment = _codes(table["sentiment"], self._classes)
            flat = table["sentiment_scores"].chunk(0).flatten()
            scores = np.stack([column.to_numpy(zero_copy_only=False) for column in flat], axis=1).tolist()
        else:
            sentiment, scores = np.zeros(count, dtype=np.int64), [[]] * count
        entities, words = _Packed.of(table["entities"], "label", self._types), _Packed.of(table["words"], "pos", UPOS)
        strange = entities.strange | words.strange | (lang < 0) | (sentiment < 0)
        out: list[bytes | None] = []
        for i in range(count):
            if strange[i]:
                out.append(None)
                continue
            (ewide, e), (wwide, w) = entities.row(i), words.row(i)
            head = self._head.pack(lang[i], sentiment[i], ewide, wwide, *scores[i], entities.count(i), words.count(i))
            out.append(head + e + w)
        return out

    def fits(self, row: bytes, length: int) -> bool:
        """Whether bytes of unknown origin can be decoded as the row of a text of this length.

        Args:
            row: Any bytes.
            length: Code points of the text.
        """
        size = self._head.size
        if len(row) < size:
            return False
        lang, sentiment, ewide, wwide, *scores, entities, words = self._head.unpack_from(row)
        if lang >= len(self._langs) or sentiment >= max(1, len(self._classes)) or not {ewide, wwide} <= _WIDTHS.keys():
            return False
        if len(row) != size + entities * (2 * ewide + 5) + words * (2 * wwide + 1) or not math.isfinite(sum(scores)):
            return False
        e, w = _parts(row, ewide, entities, size, 4), _parts(row, wwide, words, len(row) - words * (2 * wwide + 1), 0)
        return bool(
            e.places.sum() <= length
            and w.places.sum() <= length
            and (e.codes < len(self._types)).all()
            and (w.codes < len(UPOS)).all()
            and np.isfinite(e.scores).all()
        )

    def decode(self, rows: Sequence[bytes], texts: Sequence[str]) -> pa.Table:
        """Decode rows; the result is to the last bit the table that was encoded.

        Args:
            rows: Rows from `encode`, or bytes for which `fits` is true.
            texts: Text of each row, from which the entities' texts are cut.

        Returns:
            One row for each text, with the columns of `models.TAGS`, or of the model's own classes.
        """
        if not rows:
            return self._schema.empty_table()
        heads = [self._head.unpack_from(row) for row in rows]
        lang, sentiment, _, _, *scores, _, _ = (np.array(column) for column in zip(*heads, strict=True))
        entities = [_parts(row, head[2], head[-2], self._head.size, 4) for row, head in zip(rows, heads, strict=True)]
        words = [_parts(row, h[3], h[-1], len(row) - h[-1] * (2 * h[3] + 1), 0) for row, h in zip(rows, heads, strict=True)]
        columns = [
            _strings(lang, self._langs),
            _entity_lists(entities, texts, self._types),
            *self._sentiments(sentiment, scores),
            _lists(words, lambda start, end, codes, _: [start, end, _strings(codes, UPOS)], WORD),
        ]
        return pa.Table.from_arrays(columns, schema=self._schema)

    def _sentiments(self, codes: npt.NDArray[Any], scores: Sequence[npt.NDArray[Any]]) -> list[pa.Array]:
        struct_type = self._schema.field("sentiment_scores").type
        if not self._classes:
            return [pa.nulls(len(codes), pa.string()), pa.nulls(len(codes), struct_type)]
        columns = [pa.array(column.astype(np.float32)) for column in scores]
        return [_strings(codes, self._classes), pa.StructArray.from_arrays(columns, fields=list(struct_type))]


@dataclass(frozen=True, slots=True)
class _Parts:
    """The entities or the words of one row: gaps and lengths in turn, labels, scores (none of words)."""

    places: npt.NDArray[Any]
    codes: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float32]


def _parts(row: bytes, wide: int, count: int, at: int, score_bytes: int) -> _Parts:
    places = np.frombuffer(row, _WIDTHS[wide], 2 * count, at)
    codes = np.frombuffer(row, np.uint8, count, at + 2 * wide * count)
    scored = count if score_bytes else 0
    return _Parts(places, codes, np.frombuffer(row, "<f4", scored, at + (2 * wide + 1) * count))


class _Packed:
    """A column of lists, so that the bytes of a row are slices."""

    def __init__(self, bounds: Int64, start: Int64, end: Int64, codes: Int64, scores: npt.NDArray[np.float32] | None) -> None:
        doc = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        before = np.concatenate(([0], end[:-1]))[: len(start)]
        before[bounds[:-1][np.diff(bounds) > 0]] = 0
        places = np.stack([start - before, end - start], axis=1)
        self.strange, self._wide = (np.zeros(len(bounds) - 1, dtype=bool) for _ in range(2))
        self.strange[doc[(places < 0).any(axis=1) | (codes < 0)]] = True
        self._wide[doc[(places > 255).any(axis=1)]] = True
        self._bounds = bounds.tolist()
        self._narrow, self._full = places.astype(np.uint8).tobytes(), places.astype("<u4").tobytes()
        self._codes = codes.astype(np.uint8).tobytes()
        self._scores = b"" if scores is None else scores.astype("<f4").tobytes()

    @staticmethod
    def of(column: pa.ChunkedArray, label: str, names: Sequence[str]) -> _Packed:
        lists = column.chunk(0)
        flat = lists.flatten()
        bounds = np.concatenate(([0], np.cumsum(lists.value_lengths().to_numpy(zero_copy_only=False)))).astype(np.int64)
        start, end = (flat.field(name).to_numpy(zero_copy_only=False).astype(np.int64) for name in ("start", "end"))
        scores = flat.field("score").to_numpy(zero_copy_only=False) if flat.type.get_field_index("score") >= 0 else None
        return _Packed(bounds, start, end, _codes(flat.field(label), names), scores)

    def count(self, i: int) -> int:
        return int(self._bounds[i + 1] - self._bounds[i])

    def row(self, i: int) -> tuple[int, bytes]:
        a, b = self._bounds[i], self._bounds[i + 1]
        rest = self._codes[a:b] + self._scores[4 * a : 4 * b]
        return (4, self._full[8 * a : 8 * b] + rest) if self._wide[i] else (1, self._narrow[2 * a : 2 * b] + rest)


def _codes(column: Any, names: Sequence[str]) -> Int64:
    """The numbers of names, -1 for one that is not known."""
    found = pc.fill_null(pc.index_in(column, value_set=pa.array(names, pa.string())), -1)
    codes: Int64 = found.to_numpy(zero_copy_only=False).astype(np.int64) if isinstance(found, pa.Array) else found.to_numpy()
    return codes


def _strings(codes: npt.NDArray[Any], names: Sequence[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names, pa.string())).dictionary_decode()


def _entity_lists(parts: list[_Parts], texts: Sequence[str], types: Sequence[str]) -> pa.Array:
    of = np.repeat(np.arange(len(parts)), [len(one.codes) for one in parts]).tolist()

    def fields(start: pa.Array, end: pa.Array, codes: npt.NDArray[Any], scores: pa.Array) -> list[pa.Array]:
        places = zip(of, start.to_pylist(), end.to_pylist(), strict=True)
        # As the Tagger does it: what no UTF-8 can hold is a question mark.
        slices = [texts[i][a:b].encode("utf-8", "replace").decode() for i, a, b in places]
        return [pa.array(slices, pa.string()), _strings(codes, types), start, end, scores]

    return _lists(parts, fields, ENTITY)


def _lists(parts: list[_Parts], fields: Any, struct_type: pa.StructType) -> pa.Array:
    counts = np.array([len(one.codes) for one in parts])
    bounds = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    sums = np.concatenate(([0], np.cumsum(np.concatenate([one.places for one in parts]), dtype=np.int64)))
    at = sums[1:] - np.repeat(sums[2 * bounds[:-1]], 2 * counts)
    start, end = (pa.array(at[n::2].astype(np.int32)) for n in (0, 1))
    scores = pa.array(np.concatenate([one.scores for one in parts]).astype(np.float32))
    columns = fields(start, end, np.concatenate([one.codes for one in parts]), scores)
    kind = pa.list_(pa.field("item", struct_type, nullable=False))
    values = pa.StructArray.from_arrays(columns, fields=list(struct_type))
    return pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), values, type=kind)
