"""Texts to flat arrays of word pieces, with offsets in code points and a case feature for every piece."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from models.runtime.labels import WORD_CASES

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]

# No letter above this code point has an upper and a lower form.
_CASED_BELOW = 0x20000
_SURROGATES = re.compile("[\ud800-\udfff]")
_NO_LETTERS, _LOWER, _TITLE, _UPPER, _SINGLE, _MIXED = range(len(WORD_CASES))


@dataclass(frozen=True, slots=True)
class Pieces:
    """The word pieces of B texts, N in all, laid end to end, without special tokens.

    Attributes:
        ids: Token ids, int32, shape (N,).
        starts: Where each piece begins, in code points of its text, int32, shape (N,).
        ends: Where each piece ends (exclusive), in code points of its text, int32, shape (N,).
        cases: Case features, see `case_features`, uint8, shape (N,).
        units: Whether a piece is the first of a unit (a word or punctuation mark of the pre-tokenizer), bool, shape (N,).
        offsets: Where the pieces of each text begin, and the end of the last, int64, shape (B + 1,).
    """

    ids: Int32
    starts: Int32
    ends: Int32
    cases: UInt8
    units: Bool
    offsets: Int64

    def __len__(self) -> int:
        return len(self.offsets) - 1


@lru_cache(maxsize=1)
def _case_tables() -> tuple[Bool, Bool]:
    points = [chr(i) for i in range(_CASED_BELOW)]
    upper = np.fromiter((c.isupper() for c in points), dtype=bool, count=_CASED_BELOW)
    lower = np.fromiter((c.islower() for c in points), dtype=bool, count=_CASED_BELOW)
    return upper, upper | lower


def code_points(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], Int64]:
    """Concatenate the code points of texts.

    Args:
        texts: B texts.

    Returns:
        All code points, lone surrogates included, uint32; and where each text begins, and the end of the last, int64, shape
        (B + 1,).
    """
    flat = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    return flat, np.concatenate(([0], np.cumsum(lengths)))


def case_features(flat: npt.NDArray[np.uint32], starts: Int64, ends: Int64, units: Bool) -> UInt8:
    """Compute how every piece is capitalized, which an uncased vocabulary does not tell.

    A feature is three times the index of its word's case in `labels.WORD_CASES`, plus 0, 1 or 2 where none, some or all of the
    piece's own letters are capitals.

    Args:
        flat: Code points of all texts, uint32.
        starts: Where each piece begins in `flat`, int64, shape (N,).
        ends: Where each piece ends in `flat` (exclusive), int64, shape (N,).
        units: Whether a piece is the first of its word, bool, shape (N,).

    Returns:
        Case features, below `labels.NUM_CASES`, uint8, shape (N,).
    """
    if not len(starts):
        return np.zeros(0, dtype=np.uint8)
    is_upper, is_cased = _case_tables()
    known = np.minimum(flat, _CASED_BELOW - 1)
    upper_here = is_upper[known]
    uppers = np.concatenate(([0], np.cumsum(upper_here, dtype=np.int64)))
    letters = np.concatenate(([0], np.cumsum(is_cased[known], dtype=np.int64)))

    first = np.flatnonzero(units)
    word_of = np.cumsum(units) - 1
    word_start, word_end = starts[first], ends[np.append(first[1:], len(starts)) - 1]
    up = uppers[word_end] - uppers[word_start]
    all_letters = letters[word_end] - letters[word_start]
    starts_upper = upper_here[np.minimum(word_start, len(flat) - 1)]
    word = np.select(
        [all_letters == 0, up == 0, (up == all_letters) & (up == 1), up == all_letters, starts_upper & (up == 1)],
        [_NO_LETTERS, _LOWER, _SINGLE, _UPPER, _TITLE],
        default=_MIXED,
    )
    piece_up = uppers[ends] - uppers[starts]
    piece = np.where(piece_up == 0, 0, np.where(piece_up == letters[ends] - letters[starts], 2, 1))
    features: UInt8 = (word[word_of] * 3 + piece).astype(np.uint8)
    return features


class PieceTokenizer:
    """A WordPiece tokenizer that gives flat arrays; safe to share between threads.

    Args:
        tokenizer_json: Tokenizer in the JSON format of the `tokenizers` library, with [CLS], [SEP] and [PAD] in its vocabulary.
        folds: Characters that are read as others, and those others, in the same order: traditional Chinese as simplified.

    Attributes:
        vocab_size: One more than the highest token id.
        cls_id: Id of [CLS].
        sep_id: Id of [SEP].
        pad_id: Id of [PAD].
    """

    def __init__(self, tokenizer_json: str, folds: tuple[str, str] = ("", "")) -> None:
        self._folds = str.maketrans(*folds)
        self._tokenizer = Tokenizer.from_str(tokenizer_json)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        vocab = self._tokenizer.get_vocab(with_added_tokens=True)
        self.vocab_size = max(vocab.values()) + 1
        self._continues = np.zeros(self.vocab_size, dtype=bool)
        self._continues[[i for token, i in vocab.items() if token.startswith("##")]] = True
        self.cls_id, self.sep_id, self.pad_id = (vocab[name] for name in ("[CLS]", "[SEP]", "[PAD]"))

    def id_of(self, token: str) -> int | None:
        """Return the id of a piece, or None if the vocabulary does not have it.

        Args:
            token: Piece as the vocabulary writes it, with ## before one that continues a word.
        """
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def pieces(self) -> list[str]:
        """Return the vocabulary in the order of its ids, with an empty string for an id that is not used."""
        return [self._tokenizer.id_to_token(i) or "" for i in range(self.vocab_size)]

    def encode(self, texts: Sequence[str]) -> Pieces:
        """Tokenize texts, without truncation and special tokens.

        A lone surrogate, which no UTF-8 can hold, is read as U+FFFD, so that offsets stay right.

        Args:
            texts: B texts.

        Returns:
            The pieces of all texts.
        """
        flat, text_offsets = code_points(texts)
        readable = texts
        if ((flat >= 0xD800) & (flat <= 0xDFFF)).any():
            readable = [_SURROGATES.sub("\ufffd", text) for text in texts]
        if self._folds:
            readable = [text.translate(self._folds) for text in readable]
        encodings = self._tokenizer.encode_batch(list(readable), add_special_tokens=False)
        counts = np.fromiter(map(len, encodings), dtype=np.int64, count=len(texts))
        offsets = np.concatenate(([0], np.cumsum(counts)))
        total = int(offsets[-1])
        ids = np.fromiter(chain.from_iterable(e.ids for e in encodings), dtype=np.int32, count=total)
        extents = np.fromiter(
            chain.from_iterable(chain.from_iterable(e.offsets for e in encodings)), dtype=np.int32, count=2 * total
        ).reshape(total, 2)
        starts, ends = extents[:, 0].copy(), extents[:, 1].copy()
        units = ~self._continues[ids]
        # A character that the normalizer takes apart (a fraction, a ligature) is one unit still.
        units[1:] &= starts[1:] >= ends[:-1]
        units[offsets[:-1][counts > 0]] = True
        base = np.repeat(text_offsets[:-1], counts)
        return Pieces(ids, starts, ends, case_features(flat, starts + base, ends + base, units), units, offsets)
