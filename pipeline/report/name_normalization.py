"""Which spellings are one name.

Two spellings are the same name if they are equal after these steps, repeated until nothing changes:

1. Unicode NFKC (full-width letters, ligatures, compatibility forms), then lower case.
2. Invisible and control characters are removed; curly quotes become ', the middle dots of Chinese names, hyphens, dashes
   and underscores become a space; white space of any length is one space.
3. Dots of initials and abbreviations go where a letter stands before and no letter or digit behind (U.S. and US, Inc. and
   Inc); in an initialism all dots go. The dot in amazon.com stays.
4. Punctuation at either end goes: quotes, brackets, #, @.
5. A possessive at the end goes: 's, and ' behind an s.

A name of which nothing would be left keeps its lower case form; one without a letter or digit is not counted as a name at
all. Simplified and traditional script are not joined, nor are short and long names of one person. Words in tables of terms are
folded by the same steps.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_ROUNDS = 6
_STEPS = [
    (r"[\p{Cc}\p{Zl}\p{Zp}]", " "),
    (r"[\p{Cf}\p{Co}]", ""),
    ("[\u2018\u2019\u02bc\u02b9\u2032`\u00b4]", "'"),
    ("[\u201c\u201d\u201e\u2033]", '"'),
    ("[\\p{Pd}_\u00b7\u2022\u30fb\u2027\u22c5]", " "),
    (r"\s+", " "),
    (r"(^| )(\p{L})\.(\p{L})\.(\p{L})\.(\p{L})\.?( |$)", r"\1\2\3\4\5\6"),
    (r"(^| )(\p{L})\.(\p{L})\.(\p{L})\.?( |$)", r"\1\2\3\4\5"),
    (r"(^| )(\p{L})\.(\p{L})\.?( |$)", r"\1\2\3\4"),
    (r"(\p{L})\.( |['\"]|$)", r"\1\2"),
    (r"^[\p{P}\s]+|[\p{P}\s]+$", ""),
    (r"'s$", ""),
]


def normalize_names(names: pa.Array) -> pa.Array:
    """Return the folded form of each name; none is empty unless the name is.

    Args:
        names: Arrow array of strings, shape (n,).
    """
    lowered = pc.utf8_lower(pc.utf8_normalize(names, form="NFKC"))
    folded = lowered
    for _ in range(_ROUNDS):
        before = folded
        # Regular expressions with classes of Unicode take milliseconds to build: that of dots only where there are any.
        dots = pc.any(pc.match_substring(folded, ".")).as_py()
        for pattern, put in _STEPS:
            if dots or "\\." not in pattern:
                folded = pc.replace_substring_regex(folded, pattern=pattern, replacement=put)
        if folded.equals(before):
            break
        folded = pc.utf8_lower(pc.utf8_normalize(folded, form="NFKC"))
    return pc.if_else(pc.equal(folded, ""), lowered, folded)


def normalize_name(name: str) -> str:
    """Return the folded form of one name, see `normalize_names`.

    Args:
        name: A spelling, as it stands in a document.
    """
    found: str = normalize_names(pa.array([name], pa.string()))[0].as_py()
    return found
