"""Which of a user's documents are learned from, and which are kept to measure on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from models.errors import LabelledDataError
from models.factory.own.documents import OwnDocument
from models.factory.own.spans import kinds
from models.runtime.labels import LabelSet

LEAST_DOCUMENTS = 20
# A class or a type that occurs less often is hardly learned, and said to be.
FEW = 5


def split(documents: Sequence[OwnDocument], held_out: float, seed: int) -> tuple[list[OwnDocument], list[OwnDocument]]:
    """Divide documents into those to learn from and those to measure on, by class; equal texts stay together.

    A type of entities that would be measured and not learned is rare: the documents that hold it are learned from.

    Args:
        documents: The documents.
        held_out: Share that is kept to measure on, above 0 and below 1.
        seed: Of the draw.

    Returns:
        Both, in their order.

    Raises:
        LabelledDataError: There are too few documents, or none is left to measure on.
    """
    if len(documents) < LEAST_DOCUMENTS:
        raise LabelledDataError(
            f"{len(documents)} labelled documents; at least {LEAST_DOCUMENTS} are needed, 200 are a good start"
        )
    groups: dict[str | None, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    label_of: dict[str, str | None] = {}
    for number, document in enumerate(documents):
        label = label_of.setdefault(document.text, document.label)
        groups[label][document.text].append(number)
    rng = np.random.default_rng(seed)
    kept: set[int] = set()
    for _, texts in sorted(groups.items(), key=lambda group: group[0] or ""):
        order = list(texts.values())
        chosen = rng.permutation(len(order))[: round(held_out * len(order))]
        kept.update(number for at in chosen for number in order[at])
    learned = kinds([d.entities for number, d in enumerate(documents) if number not in kept])
    rare = {documents[number].text for number in kept if not {*kinds([documents[number].entities])} <= {*learned}}
    kept = {number for number in kept if documents[number].text not in rare}
    if not kept:
        raise LabelledDataError(
            f"{held_out:.0%} of {len(documents)} documents leaves none to measure on; give --held-out more, or --test"
        )
    here, there = ([d for number, d in enumerate(documents) if (number in kept) == side] for side in (False, True))
    return here, there


def labels_of(learned: Sequence[OwnDocument], measured: Sequence[OwnDocument], before: LabelSet) -> LabelSet:
    """Return what a model will tell apart: the types and classes of the documents, or those that it tells apart already.

    Args:
        learned: Documents that are learned from.
        measured: Documents that are measured on.
        before: What the model tells apart that is taught on.

    Returns:
        The label set, in alphabetical order where it is the user's own.

    Raises:
        LabelledDataError: There are no labels at all, only one class, or too many; or some that nothing is learned of.
    """
    types = kinds([document.entities for document in learned])
    classes = tuple(sorted({document.label for document in learned if document.label is not None}))
    if not types and not classes:
        raise LabelledDataError("no document has an entity or a class; --label-column and --entities-column name their fields")
    if len(classes) == 1:
        raise LabelledDataError(f"every class is {classes[0]!r}; there must be two or more to tell apart")
    for names in (types, classes):
        alike = [found for found in names if [name.casefold() for name in names].count(found.casefold()) > 1]
        if alike:
            raise LabelledDataError(f"labels that differ in capitals alone: {', '.join(alike)}; write each in one way")
    if len(classes) > 120 or len(types) > 60:
        raise LabelledDataError(f"{len(classes)} classes and {len(types)} types of entities; a model has at most 120 and 60")
    strange = {*kinds([d.entities for d in measured])} - {*types} | {d.label for d in measured if d.label} - {*classes}
    if strange:
        raise LabelledDataError(
            f"the documents to measure on have labels that nothing is learned of: {', '.join(sorted(strange))}"
        )
    return LabelSet(types or before.entities, classes or before.sentiments, before.words)


def warnings_of(learned: Sequence[OwnDocument], measured: Sequence[OwnDocument], widened: int) -> list[str]:
    """Return what a user should know of the documents.

    Args:
        learned: Documents that are learned from.
        measured: Documents that are measured on.
        widened: Entities that do not begin and end with a word.
    """
    types = Counter(span.label for document in learned for span in document.entities or ())
    classes = Counter(document.label for document in learned if document.label is not None)
    lines = [f"{name}: only {count} to learn from" for name, count in sorted((types + classes).items()) if count < FEW]
    texts = defaultdict(set)
    for document in learned:
        texts[document.text].add((document.entities, document.label))
    different = sum(len(labels) > 1 for labels in texts.values())
    if different:
        lines.append(f"{different} texts occur more than once, with other labels each time")
    if known := sum(document.text in texts for document in measured):
        lines.append(f"{known} of {len(measured)} documents to measure on are learned from, too: the figures flatter")
    if widened:
        lines.append(f"{widened} entities begin or end inside a word; they are learned as whole words")
    return lines
