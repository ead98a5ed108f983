"""Conversion between simplified and traditional Chinese script, and sentences and phrases of Chinese prose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from models.errors import DataMissingError
from models.extras import install
from models.factory.corpus_readers import LabelledText

MIN_CHARACTERS, MAX_CHARACTERS = 4, 124
_END = re.compile(r"(?<=[\u3002\uff01\uff1f\uff1b!?])(?![\u201d\u2019\u300d\u300f\uff09])|\n")
_CLAUSE = re.compile(r"(?<=[\uff0c,\u3002\uff01\uff1f\uff1b!?;\u3001 ])")
_PAUSE = re.compile(r"(?<=[\uff0c,\uff1a\u3001 ])")


@lru_cache(maxsize=2)
def _converter(kind: str) -> Any:
    try:
        import opencc
    except ImportError as error:
        raise DataMissingError(f"traditional script needs OpenCC: {install('factory')}") from error
    return opencc.OpenCC(kind)


def converted(text: str, kind: str = "s2t") -> str:
    """Convert a text into another script, keeping its length so that offsets into it still hold.

    Args:
        text: Chinese text.
        kind: Configuration of OpenCC: `s2t` to traditional script, `t2s` to simplified.

    Returns:
        The converted text, or the text as it was where conversion would change its length.

    Raises:
        DataMissingError: OpenCC is not installed.
    """
    other: str = _converter(kind).convert(text)
    return other if len(other) == len(text) else text


def in_both_scripts(records: Sequence[LabelledText], share: float, rng: np.random.Generator) -> list[LabelledText]:
    """Show a random share of the records in traditional script, or in simplified if they are in traditional already.

    Args:
        records: Texts with their labels, which stay as they are.
        share: Share of the records that is converted, 0 to 1.
        rng: Chooses them.

    Returns:
        All records in their order.

    Raises:
        DataMissingError: OpenCC is needed and not installed.
    """
    chosen = rng.random(len(records)) < share
    return [_other(record) if change else record for record, change in zip(records, chosen, strict=True)]


def _other(record: LabelledText) -> LabelledText:
    traditional = converted(record.text)
    if traditional == record.text:
        traditional = converted(record.text, "t2s")
    return replace(record, text=traditional)


def chinese_sentences(records: Sequence[LabelledText], wanted: int, rng: np.random.Generator) -> list[LabelledText]:
    """Take sentences out of the records' texts, in random order and without labels.

    Sentences of more than 124 characters are cut after commas and the like, those of fewer than 4 are left out.

    Args:
        records: Texts of Chinese prose.
        wanted: Sentences taken at most.
        rng: Chooses them.

    Returns:
        The sentences; fewer than `wanted` if the records hold fewer.
    """
    found: list[LabelledText] = []
    for number in rng.permutation(len(records)):
        for sentence in _END.split(records[number].text):
            found += [LabelledText(part) for part in _cut(sentence.strip()) if len(part) >= MIN_CHARACTERS]
        if len(found) >= 2 * wanted:
            break
    return [found[i] for i in rng.permutation(len(found))[:wanted]]


def _cut(sentence: str) -> list[str]:
    if len(sentence) <= MAX_CHARACTERS:
        return [sentence]
    parts = [""]
    for clause in _PAUSE.split(sentence):
        if len(parts[-1]) + len(clause) > MAX_CHARACTERS:
            parts.append("")
        parts[-1] += clause[:MAX_CHARACTERS]
    return parts


def chinese_phrases(records: Sequence[LabelledText], wanted: int, rng: np.random.Generator) -> list[LabelledText]:
    """Take runs of clauses out of the records' texts, none of them a whole text, without labels.

    `augment.phrases` says what they are for. A phrase has 4 to 124 characters.

    Args:
        records: Texts of Chinese prose; at least one.
        wanted: Phrases taken at most.
        rng: Chooses them.

    Returns:
        The phrases; fewer than `wanted` if too few texts have two clauses.
    """
    found: list[LabelledText] = []
    for number in rng.integers(0, len(records), 20 * wanted):
        clauses = [clause for clause in _CLAUSE.split(records[number].text) if clause.strip()]
        if len(clauses) < 2:
            continue
        first = int(rng.integers(0, len(clauses)))
        last = int(rng.integers(first + 1, len(clauses) + 1))
        text = "".join(clauses[first:last]).strip()
        if last - first < len(clauses) and len(text) >= MIN_CHARACTERS:
            found.append(LabelledText(text[:MAX_CHARACTERS]))
            if len(found) == wanted:
                break
    return found
