"""Chinese characters as an index sees them: traditional ones as simplified, and what they sound like.

Both go character by character, by tables: so a passage and a question are always read alike, whatever stands around a
character.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from models.extras import install
from pipeline.errors import ConfigError

HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_BLOCKS = ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00))


@lru_cache(maxsize=1)
def _simplified() -> dict[int, str]:
    try:
        import opencc
    except ModuleNotFoundError as error:
        raise ConfigError(f"Chinese passages and questions need the package opencc: {install('ask')}") from error
    known = [chr(code) for first, last in _BLOCKS for code in range(first, last)]
    # One a line: OpenCC sees no phrases then.
    others = opencc.OpenCC("t2s").convert("\n".join(known)).split("\n")
    return {ord(one): other for one, other in zip(known, others, strict=True) if one != other and len(other) == 1}


def simplified(text: str) -> str:
    """Read traditional characters as simplified ones.

    Args:
        text: Any text.

    Returns:
        A text of the same length.

    Raises:
        ConfigError: OpenCC is not installed, and the text holds Chinese characters.
    """
    return text.translate(_simplified()) if HAN.search(text) else text


@lru_cache(maxsize=30_000)
def _sound(character: str) -> str:
    try:
        from pypinyin import Style, lazy_pinyin
    except ModuleNotFoundError as error:
        raise ConfigError(f"Chinese that is found by its sound needs the package pypinyin: {install('ask')}") from error
    return alike(lazy_pinyin(character, style=Style.NORMAL)[0])


# What speakers and recognizers take for each other: a tongue curled or flat, n and l.
_INITIALS = (("zh", "z"), ("ch", "c"), ("sh", "s"), ("n", "l"))


def alike(syllable: str) -> str:
    """Fold syllables that are often misheard for each other into one.

    Args:
        syllable: In pinyin, without a tone.

    Returns:
        What it is found by: zh is z, ch is c, sh is s, n is l where it begins; ng is n where it ends.
    """
    for first, other in _INITIALS:
        if syllable.startswith(first):
            syllable = other + syllable[len(first) :]
            break
    return syllable[:-1] if syllable.endswith("ng") else syllable


def sounds_of(text: str) -> list[str]:
    """Find what pairs of neighbouring Chinese characters sound like.

    Args:
        text: A passage or a question.

    Returns:
        Two syllables each, without tones, see `alike`; one where a character stands alone.

    Raises:
        ConfigError: pypinyin is not installed, and the text holds Chinese characters.
    """
    found: list[str] = []
    for run in HAN.findall(text):
        said = [_sound(one) for one in run]
        found += [f"{a}'{b}" for a, b in pairwise(said)] or said
    return found
