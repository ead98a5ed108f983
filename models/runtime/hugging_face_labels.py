"""The labels of a Hugging Face model as a `LabelSet`, and which of its outputs each of ours is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import ModelDamagedError
from models.runtime.labels import SENTIMENTS, UPOS, LabelSet

OUTSIDE = "O"
# Of an output that they do not have: added to a logit or to the weight of a step, it never wins.
NEVER = -1e4
_HALF = float(np.log(2))
_BIO = re.compile(r"([BI])[-_](.+)", re.DOTALL)
_MORE = re.compile(r"[ESLU][-_](.+)", re.DOTALL)
_PLACEHOLDER = re.compile(r"LABEL_\d+")


@dataclass(frozen=True, slots=True)
class Outputs:
    """How the outputs of a classifier become those of a label set.

    Attributes:
        own: What the model tells apart.
        rows: For each of our outputs which of theirs it is; None for one that they do not have.
        shifts: What is added to each of our outputs.
        transitions: Weights of the steps between our tags, see `viterbi_paths`; None if each unit is decided for itself.
    """

    own: LabelSet
    rows: tuple[int | None, ...]
    shifts: tuple[float, ...] = field(default=())
    transitions: npt.NDArray[np.float32] | None = None


def names_of(config: Mapping[str, Any], count: int, where: Path) -> list[str]:
    """Return the names of a classifier's outputs in their order.

    Args:
        config: The model's config.json.
        count: Outputs that its classifier has.
        where: The model's folder, for messages.

    Raises:
        ModelDamagedError: `id2label` names others than the outputs, or one twice.
    """
    found = config.get("id2label") or {i: f"LABEL_{i}" for i in range(count)}
    try:
        names = {int(number): str(name) for number, name in found.items()}
    except (AttributeError, ValueError) as error:
        raise ModelDamagedError(f"{where}: id2label of config.json is no table of numbers and names") from error
    if sorted(names) != list(range(count)):
        raise ModelDamagedError(f"{where}: id2label of config.json names {len(names)} labels, the classifier has {count} outputs")
    if twice := [name for name, times in Counter(names.values()).items() if times > 1]:
        raise ModelDamagedError(f"{where}: id2label of config.json names {twice[0]!r} twice; give each label a name of its own")
    return [names[i] for i in range(count)]


def of_tokens(names: Sequence[str], where: Path) -> Outputs:
    """Read tags of entities.

    Either all labels but O begin with B- or I- (or B_ and I_), or none does: then a plain X counts as I-X. Where each type has a
    B, units are decided as those of our own models are, place and type apart. Where a type has none (IO, and IOB1, which has B
    only between two entities of one type that touch), an entity is a run of one type: a change of type begins another one, and
    two of one type that touch are one. For that the output of I stands for both of our tags with half its probability each, the
    steps between tags say which of the two it is, and the output of B, if there is one, is left out. A type that has a B but no
    I keeps its B alone.

    Args:
        names: Labels in the order of the outputs.
        where: The model's folder, for messages.

    Returns:
        Our tags of its types, in the order of their first appearance.

    Raises:
        ModelDamagedError: The labels are parts of speech, tags of another scheme, or no tags of entities.
    """
    tags = _tags(names, where)
    types = tuple(dict.fromkeys(kind for kind, _ in tags))
    own = LabelSet(types, (), words=False)
    runs = {kind for kind in types if (kind, "I") in tags} if any((kind, "B") not in tags for kind in types) else set[str]()
    rows: list[int | None] = [names.index(OUTSIDE)]
    shifts = [0.0]
    for kind in types:
        for place in "BI":
            row = tags.get((kind, "I" if kind in runs else place))
            rows.append(row)
            shifts.append(NEVER if row is None else -_HALF if kind in runs else 0.0)
    return Outputs(own, tuple(rows), tuple(shifts), _steps(own, runs) if runs else None)


def _tags(names: Sequence[str], where: Path) -> dict[tuple[str, str], int]:
    """Type and place (B or I) of each label but O, and which output it is."""
    plain = [name for name in names if name != OUTSIDE]
    shown = ", ".join(plain[:6]) + (", ..." if len(plain) > 6 else "")
    if sum(name.upper() in UPOS for name in plain) * 2 > len(plain):
        raise ModelDamagedError(f"{where}: a model of parts of speech ({shown}); of token classification only entities are read")
    if not plain or OUTSIDE not in names or any(map(_PLACEHOLDER.fullmatch, plain)):
        raise ModelDamagedError(f"{where}: no tags of entities ({shown or OUTSIDE}); id2label has to name O and others, as B-PER")
    parted = {name: _BIO.fullmatch(name) for name in plain}
    bio = {(found[2], found[1]): names.index(name) for name, found in parted.items() if found}
    kinds = {kind for kind, _ in bio}
    if any((found := _MORE.fullmatch(name)) and found[1] in kinds for name in plain):
        raise ModelDamagedError(f"{where}: tags of BIOES or BILOU ({shown}), which B and I cannot say exactly; take BIO tags")
    if not bio:
        return {(name, "I"): names.index(name) for name in plain}
    if odd := [name for name, found in parted.items() if not found]:
        raise ModelDamagedError(f"{where}: the label {odd[0]!r} is neither O nor a tag of B- or I- as the others are")
    if len(bio) < len(plain):
        raise ModelDamagedError(f"{where}: two labels are one tag of the same type ({shown})")
    return bio


def _steps(own: LabelSet, runs: set[str]) -> npt.NDArray[np.float32]:
    """Weights by which the best path says type by type what the probabilities say, and runs of a type are one entity."""
    size = len(own.entity_tags)
    steps = np.zeros((size + 1, size), dtype=np.float32)
    for number, kind in enumerate(own.entities):
        if kind in runs:
            begin = 1 + 2 * number
            steps[:, begin : begin + 2] = _HALF
            steps[begin : begin + 2, begin] = NEVER
    return steps


def of_texts(names: Sequence[str], where: Path) -> Outputs:
    """Read classes of texts. Negative, neutral and positive are lower-cased and stand in this order; all else stays.

    Args:
        names: Labels in the order of the outputs.
        where: The model's folder, for messages.

    Returns:
        The classes.

    Raises:
        ModelDamagedError: One class is named twice.
    """
    classes = [name.lower() if name.lower() in SENTIMENTS else name for name in names]
    places = [i for i, name in enumerate(classes) if name in SENTIMENTS]
    rows = list(range(len(classes)))
    for place, row in zip(places, sorted(places, key=lambda i: SENTIMENTS.index(classes[i])), strict=True):
        rows[place] = row
    own = LabelSet((), tuple(classes[row] for row in rows), words=False)
    if not own.sound:
        raise ModelDamagedError(f"{where}: two classes have one name ({', '.join(own.sentiments)}), or none; change id2label")
    return Outputs(own, tuple(rows), (0.0,) * len(rows))
