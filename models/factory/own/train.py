"""From labelled documents to a model folder: a shipped model is taught on, rounded to 8 bits, measured, and gets its card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.errors import FactoryError, LabelledDataError
from models.factory import quantize
from models.factory.files import write_json
from models.factory.own.card import card_text
from models.factory.own.documents import OwnDocument
from models.factory.own.encoding import encode_documents
from models.factory.own.heads import with_labels
from models.factory.own.learning import OwnLoss, epochs_of, learn
from models.factory.own.measures import errors_of, figures_of, judge
from models.factory.own.split import labels_of, split, warnings_of
from models.factory.shipped import unrounded
from models.runtime.encoder import Encoder
from models.runtime.engines import OpenVinoEngine, default_threads
from models.runtime.labels import MIN_SCORE, LabelSet
from models.runtime.load import load_one
from models.runtime.package import ModelPackage, open_package, write_package
from models.runtime.quantized import quantize_linears
from models.runtime.tagger import Tagger
from models.runtime.weights import to_weights

CALIBRATION_TEXTS = 512


@dataclass(frozen=True, slots=True)
class OwnTraining:
    """Settings of a training on a user's labels.

    Attributes:
        start: Shipped model, or a tagger's folder, that is taught on.
        held_out: Share of the documents that is kept to measure on, where no others are given.
        epochs: How often each document is read; None chooses by their number.
        seed: Of the split and of the training.
    """

    start: str = "en-fast"
    held_out: float = 0.2
    epochs: float | None = None
    seed: int = 1


def train(
    documents: Sequence[OwnDocument],
    test: Sequence[OwnDocument] | None,
    folder: Path,
    settings: OwnTraining,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Make a model of a user's labelled documents.

    Args:
        documents: The labelled documents.
        test: Documents to measure on; None keeps a share of the others for that.
        folder: Where the model is written; its name is the model's. It must not exist, or be empty.
        settings: What is taught on, and how.
        say: Gets lines of progress.

    Returns:
        What `metrics.json` in the folder holds: `figures` on the documents held out, `float_figures` before rounding, and so on.

    Raises:
        LabelledDataError: The documents cannot be learned from.
        FactoryError: The folder is not empty.
        ModelError: The model to start from does not exist or is damaged.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FactoryError(f"{folder} is not empty; name a new folder for the model")
    start, first = open_package(settings.start), load_one(settings.start)
    learned, measured = split(documents, settings.held_out, settings.seed) if test is None else (list(documents), list(test))
    if not measured:
        raise LabelledDataError("there is no document to measure on; --test names files with labelled documents")
    labels = labels_of(learned, measured, start.labels)
    encoded = encode_documents(learned, first, labels)
    warnings = warnings_of(learned, measured, encoded.widened)
    for line in warnings:
        say(f"note: {line}")
    say(f"{len(learned):,} documents to learn from, {len(measured):,} to measure on; {_named(labels)}")

    torch.manual_seed(settings.seed)
    examples, old = encoded.examples, unrounded(start)
    model = with_labels(old, start.labels, labels)
    of_entities = any(document.entities is not None for document in learned) and labels.entities != ()
    of_classes = any(document.label is not None for document in learned)
    loss = OwnLoss(old, start.labels, labels, of_entities, of_classes)
    learn(model, examples, loss, settings.epochs or epochs_of(len(examples.ids)), settings.seed, say)

    live = OpenVinoEngine(model.config, {name: value.numpy() for name, value in model.state_dict().items()}, default_threads())
    exact = figures_of(judge(_tagger(first, live, model, labels), measured, MIN_SCORE))
    rng = np.random.default_rng(settings.seed)
    docs = rng.choice(len(examples), min(CALIBRATION_TEXTS, len(examples)), replace=False)
    say("rounding to 8 bits")
    quantize_linears(model, quantize.calibrate(model, examples, docs))
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    kept = () if of_entities else start.calibration
    package = write_package(
        part, folder.name, start.lang, start.window, model.config, to_weights(model), start.tokenizer_json(), folds=start.folds,
        calibration=kept, sentiment_bias=() if of_classes else start.sentiment_bias, own=labels,
    )  # fmt: skip
    judged = judge(load_one(part), measured, MIN_SCORE)
    errors = errors_of(judged)
    about = {
        "name": folder.name,
        "lang": start.lang,
        "start": {"name": start.name, "digest": start.digest},
        "learned": [name for name, some in (("entities", of_entities), ("classes", of_classes)) if some],
        "labels": {"entities": list(labels.entities), "classes": list(labels.sentiments)},
        "documents": {"learned": len(learned), "held out": len(measured)},
        "figures": {**figures_of(judged), "min_score": MIN_SCORE},
        "float_figures": exact,
        "warnings": warnings,
        "wrong": len(errors),
        "bytes": package.size,
        "digest": package.digest,
        "seed": settings.seed,
    }
    _finish(part, folder, about, errors, start)
    return about


def _named(labels: LabelSet) -> str:
    return f"types {', '.join(labels.entities) or 'none'}; classes {', '.join(labels.sentiments) or 'none'}"


def _tagger(first: Tagger, engine: OpenVinoEngine, model: Encoder, labels: LabelSet) -> Tagger:
    transitions = model.transitions.detach().numpy() if model.config.transitions else None
    return Tagger(first.tokenizer, engine, first.lang, first.window, transitions=transitions, labels=labels)


def _finish(part: Path, folder: Path, about: dict[str, Any], errors: Sequence[dict[str, Any]], start: ModelPackage) -> None:
    """Card, metrics and errors; then the folder gets its name."""
    write_json(part / "metrics.json", about)
    (part / "errors.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in errors), encoding="utf-8")
    (part / "card.md").write_text(card_text(folder.name, start.name, about), encoding="utf-8")
    if folder.exists():
        folder.rmdir()
    part.rename(folder)
