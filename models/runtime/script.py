"""The language of a text, told by its script: enough to know which model can read it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# First code point of each run of one script; what is no letter is 0. Blocks from the Unicode standard's Blocks.txt.
_NONE, _LATIN, _HAN, _KANA, _HANGUL, _CYRILLIC, _GREEK, _ARABIC, _HEBREW, _INDIC, _OTHER = range(11)
_RUNS = (
    (0x0, _NONE), (0x41, _LATIN), (0x5B, _NONE), (0x61, _LATIN), (0x7B, _NONE), (0xAA, _LATIN), (0xAB, _NONE), (0xC0, _LATIN),
    (0xD7, _NONE), (0xD8, _LATIN), (0xF7, _NONE), (0xF8, _LATIN), (0x2B0, _NONE), (0x370, _GREEK), (0x400, _CYRILLIC),
    (0x530, _OTHER), (0x590, _HEBREW), (0x600, _ARABIC), (0x780, _OTHER), (0x900, _INDIC), (0xE00, _OTHER), (0x10A0, _OTHER),
    (0x1100, _HANGUL), (0x1200, _OTHER), (0x1E00, _LATIN), (0x1F00, _GREEK), (0x2000, _NONE), (0x2C00, _OTHER), (0x2E00, _NONE),
    (0x2E80, _HAN), (0x3000, _NONE), (0x3005, _HAN), (0x3008, _NONE), (0x3040, _KANA), (0x3100, _HAN), (0x3130, _HANGUL),
    (0x3190, _HAN), (0x3200, _NONE), (0x3400, _HAN), (0x4DC0, _NONE), (0x4E00, _HAN), (0xA000, _OTHER), (0xAC00, _HANGUL),
    (0xD800, _NONE), (0xF900, _HAN), (0xFB00, _LATIN), (0xFB07, _NONE), (0xFB1D, _HEBREW), (0xFB50, _ARABIC), (0xFE00, _NONE),
    (0xFE70, _ARABIC), (0xFEFF, _NONE), (0xFF21, _LATIN), (0xFF3B, _NONE), (0xFF41, _LATIN), (0xFF5B, _NONE), (0xFF66, _KANA),
    (0xFFA0, _HANGUL), (0xFFE0, _NONE), (0x10000, _OTHER), (0x1D000, _NONE), (0x20000, _HAN), (0x323B0, _NONE),
)  # fmt: skip
_STARTS = np.array([start for start, _ in _RUNS], dtype=np.uint32)
_SCRIPTS = np.array([script for _, script in _RUNS], dtype=np.int64)
_LANGUAGE = {
    _LATIN: "en", _HAN: "zh", _KANA: "ja", _HANGUL: "ko", _CYRILLIC: "ru", _GREEK: "el", _ARABIC: "ar", _HEBREW: "he",
    _INDIC: "hi", _OTHER: "und",
}  # fmt: skip
# A Chinese or Korean character says about as much as three letters.
_WEIGHTS = np.array([0, 1, 3, 3, 3, 1, 1, 1, 1, 1, 1], dtype=np.int64)


def languages(texts: Sequence[str]) -> list[str | None]:
    """Guess the language of each text from its script alone.

    In a text of several scripts the one with the most letters decides, where a Han, kana or Hangul character counts as three. Han
    characters count as Japanese where there is more than one kana to ten of them.

    Args:
        texts: Texts in any scripts.

    Returns:
        For each text the ISO 639-1 code of one language that is written so ("en" for all Latin letters), `und` for scripts that
        are not distinguished; None for a text without letters.
    """
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    total = int(lengths.sum())
    if not total:
        return [None] * len(texts)
    flat = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    scripts = _SCRIPTS[np.searchsorted(_STARTS, flat, side="right") - 1]
    doc = np.repeat(np.arange(len(texts)), lengths)
    counts = np.bincount(doc * 11 + scripts, minlength=len(texts) * 11).reshape(-1, 11) * _WEIGHTS
    # Japanese mixes kana and Han.
    japanese = counts[:, _KANA] * 10 > counts[:, _HAN]
    counts[:, _KANA] += np.where(japanese, counts[:, _HAN], 0)
    counts[:, _HAN] = np.where(japanese & (counts[:, _KANA] > 0), 0, counts[:, _HAN])
    best: npt.NDArray[np.int64] = counts.argmax(axis=1)
    return [_LANGUAGE[int(script)] if counts[i, script] else None for i, script in enumerate(best)]
