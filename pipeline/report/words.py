"""Terms of texts: words by part of speech, cut out of the texts by their offsets, all at once instead of word by word."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.report.name_normalization import normalize_names
from pipeline.report.stop_words import stop_words
from pipeline.report.whole_names import whole_names
from pipeline.worker.html import clean

CLASSES = ("NOUN", "PROPN", "VERB", "ADJ", "ADV")
# Longer words are no words but what a tokenizer made of a table or an address.
LONGEST = 40
# So many spellings are remembered.
KNOWN_MOST = 1_000_000
Whole = npt.NDArray[np.integer[Any]]
COUNTS = pa.schema(
    [
        pa.field("current", pa.bool_()),
        pa.field("lang", pa.string()),
        pa.field("pos", pa.string()),
        pa.field("term", pa.string()),
        pa.field("mentions", pa.int64()),
        pa.field("documents", pa.int64()),
    ]
)


class Terms:
    """Counts terms, batch by batch.

    It remembers how each spelling is folded and whether it is a term, since most words of a batch have been seen before.
    """

    def __init__(self) -> None:
        self._known = pa.array([], pa.large_string())
        self._codes = np.zeros(0, np.int64)
        self._folded = pa.array([], pa.large_string())
        self._good: dict[str, npt.NDArray[np.bool_]] = {}

    def count(self, batch: pa.RecordBatch) -> pa.Table:
        """Count the terms of a batch of documents.

        Args:
            batch: B documents with the columns `current` (bool), `lang`, `text` (strings), `words` (lists of structs with
                `pos`, `start` and `end`, the latter two in code points of the text) and `entities` (as `words`, with `label`).
                A Chinese person's name counts as one word.

        Returns:
            Mentions of each term and documents that hold it, in the form of `COUNTS`.
        """
        words = batch["words"]
        flat = words.flatten()
        classes = pc.fill_null(pc.index_in(flat.field("pos"), value_set=pa.array(CLASSES)), -1).to_numpy().astype(np.int64)
        start, end = (flat.field(name).to_numpy(zero_copy_only=False).copy() for name in ("start", "end"))
        per_row = pc.list_value_length(words).to_numpy(zero_copy_only=False)
        rows = np.repeat(np.arange(batch.num_rows), per_row)
        first, behind = whole_names(batch, rows, start, end)
        end[first], classes[first] = end[behind - 1], CLASSES.index("PROPN")
        inside = np.zeros(len(rows) + 1, np.int64)
        np.add.at(inside, first + 1, 1)
        np.add.at(inside, behind, -1)
        length = end - start
        keep = np.flatnonzero((classes >= 0) & (length > 0) & (length <= LONGEST) & (np.cumsum(inside)[:-1] == 0))
        if not len(keep):
            return COUNTS.empty_table()
        rows = rows[keep]
        surfaces = cut(batch["text"], rows, start[keep], end[keep]).dictionary_encode()
        codes = self._code(surfaces.dictionary)[surfaces.indices.to_numpy()]
        langs = batch["lang"].dictionary_encode()
        lang = langs.indices.to_numpy()[rows].astype(np.int64)
        good = np.stack([self._are_good(name) for name in langs.dictionary.to_pylist()])[lang, codes]
        current = batch["current"].to_numpy(zero_copy_only=False)[rows]
        sizes = (len(langs.dictionary), len(CLASSES), 2)
        kind = np.ravel_multi_index((lang, classes[keep], current), sizes)
        seen = ((codes * np.prod(sizes) + kind) * batch.num_rows + rows)[good]
        # A key holds what a word is and its document: equal keys are mentions in one document.
        keys, mentions = np.unique(seen, return_counts=True)
        kinds = keys // batch.num_rows
        firsts = np.flatnonzero(np.diff(kinds, prepend=-1))
        if not len(firsts):
            return COUNTS.empty_table()
        code, rest = np.divmod(kinds[firsts], np.prod(sizes))
        of_lang, of_class, now = np.unravel_index(rest, sizes)
        columns = [
            pa.array(now.astype(bool)),
            langs.dictionary.take(pa.array(of_lang)),
            pa.array(CLASSES).take(pa.array(of_class)),
            self._folded.take(pa.array(code)).cast(pa.string()),
            pa.array(np.add.reduceat(mentions, firsts)),
            pa.array(np.diff(firsts, append=len(kinds))),
        ]
        return pa.Table.from_arrays(columns, schema=COUNTS)

    def _code(self, surfaces: pa.Array) -> npt.NDArray[np.int64]:
        """The number of each spelling's folded form."""
        if len(self._known) > KNOWN_MOST:
            self.__init__()  # type: ignore[misc]
        found = pc.index_in(surfaces, value_set=self._known)
        if found.null_count:
            new = surfaces.filter(found.is_null())
            folded = pa.concat_arrays([self._folded, normalize_names(_without_markup(new))]).dictionary_encode()
            # The old forms are all different and come first: they keep their numbers.
            self._codes = np.append(self._codes, folded.indices.to_numpy()[len(self._folded) :])
            self._known, self._folded = pa.concat_arrays([self._known, new]), folded.dictionary
            found = pc.index_in(surfaces, value_set=self._known)
        codes: npt.NDArray[np.int64] = self._codes[found.to_numpy()]
        return codes

    def _are_good(self, language: str) -> npt.NDArray[np.bool_]:
        """Which folded forms are terms in a language."""
        old = self._good.get(language, np.zeros(0, bool))
        self._good[language] = np.append(old, _sensible(self._folded.slice(len(old)), language))
        return self._good[language]


def cut(texts: pa.Array, rows: Whole, starts: Whole, ends: Whole) -> pa.Array:
    """Return `texts[rows[i]][starts[i]:ends[i]]` for each of W words, as an Arrow array of large strings.

    Args:
        texts: Arrow array of strings, shape (B,).
        rows: Place of each word's text in `texts`, int64, shape (W,).
        starts: Where each word begins in its text, in code points, integers, shape (W,).
        ends: Where each word ends, exclusive, not beyond its text, in code points, integers, shape (W,).
    """
    if texts.type != pa.large_string():
        texts = texts.cast(pa.large_string())
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    raw = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]] if data is not None else np.zeros(0, np.uint8)
    # A byte of UTF-8 that is not 10xxxxxx begins a code point.
    begins = np.append(np.flatnonzero((raw & 0xC0) != 0x80), len(raw))
    first = np.searchsorted(begins, bounds[:-1] - bounds[0])[rows]
    low, high = begins[first + starts], begins[first + ends]
    lengths = high - low
    out = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(lengths, out=out[1:])
    gather = np.repeat(low - out[:-1], lengths) + np.arange(out[-1])
    return pa.Array.from_buffers(pa.large_string(), len(rows), [None, pa.py_buffer(out), pa.py_buffer(raw[gather])])


def _without_markup(surfaces: pa.Array) -> pa.Array:
    """Spellings without the markup that stands inside them where a text was cleaned, as in har<b>bour."""
    marked = pc.match_substring_regex(surfaces, "[<&]")
    if not pc.any(marked).as_py():
        return surfaces
    plain = [
        surface if not has or (found := clean(surface)) is None else " ".join(found.text.split())
        for surface, has in zip(surfaces.to_pylist(), marked.to_pylist(), strict=True)
    ]
    return pa.array(plain, surfaces.type)


def _sensible(terms: pa.Array, language: str) -> npt.NDArray[np.bool_]:
    """Which of T folded words are terms: a letter in them, no stop word, in Latin script more than one letter."""
    letters = pc.match_substring_regex(terms, r"\p{L}")
    short = pc.match_substring_regex(terms, r"^\p{Latin}$")
    stop = pc.is_in(terms, value_set=pa.array(sorted(stop_words(language) or ()), terms.type))
    good: npt.NDArray[np.bool_] = pc.and_(letters, pc.invert(pc.or_(short, stop))).to_numpy(zero_copy_only=False)
    return good
