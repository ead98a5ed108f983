"""The steps that make and ship a student; each returns a record of what it reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from models.bench import REFERENCES, engine_ratio
from models.errors import FactoryError, GateFailedError
from models.factory import card, examples, prune, quantize
from models.factory.decision import fit_decision
from models.factory.distill import Learner, distil_loss
from models.factory.entity_scores import fit_entity_scores, real_entities
from models.factory.evaluate import real_sentiment
from models.factory.files import read_json, write_json
from models.factory.latency import Costs, measure_costs
from models.factory.recipe import Prune, Student
from models.factory.run_context import RunContext
from models.factory.training import (
    SPEED_POSTS,
    balance_student,
    calibrate_student,
    distil,
    origin,
    reached,
    student_loss,
    train_student,
    unseen_id,
    without_transitions,
)
from models.runtime.encoder import Encoder
from models.runtime.engines import default_threads
from models.runtime.package import write_package
from models.runtime.quantized import quantize_linears
from models.runtime.tagger import Tagger
from models.runtime.weights import to_weights

# Batches whose gradients say how important heads and neurons are.
SALIENCY_BATCHES = 24


def kinds(student: Student) -> list[str]:
    """List the kinds of steps that make a student, export left out.

    Args:
        student: The student's part of the recipe.

    Returns:
        `distil`, then `prune` and `quantize` where the student has them.
    """
    if student.start == "lstm":
        return ["distil"]
    return ["distil", *(["prune"] if student.prune else []), "quantize"]


def float_step(name: str, student: Student) -> str:
    """Name the step that leaves the float student which is to be quantized.

    Args:
        name: Name of the student.
        student: The student's part of the recipe.

    Returns:
        Name of its pruning if it is pruned, else of its distillation.
    """
    return f"{name}.prune" if student.prune else f"{name}.distil"


def prune_student(shop: RunContext, name: str, key: str) -> dict[str, Any]:
    """Run the step `prune`: remove (or zero) parts in rounds until the aim is reached, with recovery training after each.

    A round that was finished before a kill is not done again.

    Args:
        shop: Context of the run.
        name: Name of the student.
        key: Key of the step; names what its rounds leave.

    Returns:
        Record of the step: that of `reached`, and as `sparsity` the rows of `sparsity_report`.

    Raises:
        FactoryError: The student has no `[prune]`, its distillation has left no model, or heads are to go from layers that share
            a relative position bias.
    """
    student = shop.recipe.students[name]
    settings = student.prune
    if settings is None:
        raise FactoryError(f"students.{name} has no [prune]")
    step = f"{name}.prune"
    costs = _costs(shop, step, key) if settings.speed is not None else None
    encoder = shop.restore(f"{name}.distil")
    first = encoder.config.layers
    for number in range(1, settings.rounds + 1):
        # A round that was finished before a kill is taken from disk.
        kept = f"{step}/round-{key}-{number}"
        if (shop.work / kept / "encoder.safetensors").exists():
            encoder = shop.restore(kept)
            continue
        part = number / settings.rounds
        seed = shop.recipe.seed + 10 + number
        each_step = None
        if settings.l1 is not None:
            prune.zero_smallest(encoder, settings.l1 * part)
            each_step = prune.hold_zeros(encoder)
        else:
            aim = prune.Aim(settings, costs, first, part)
            encoder = _shrink(shop, encoder, settings, aim, seed)
        shapes = " ".join(f"{s.heads}x{s.ffn}" for s in encoder.config.layers)
        shop.say(f"{step}: round {number}/{settings.rounds}: {shapes} (heads x feed-forward)")
        train_student(shop, encoder, settings, settings.round_share(number), step, f"{key}-{number}", seed, each_step)
        if each_step is not None:
            each_step(0, 0)
        shop.save(kept, encoder)
    shop.save(step, encoder)
    whole = origin(shop, student)
    layers = student.layers or tuple(range(len(whole.config.layers)))
    record = reached(shop, encoder, shop.tagger(encoder, student.window))
    return record | {"sparsity": prune.sparsity_report(whole, encoder, layers)}


def _costs(shop: RunContext, step: str, key: str) -> Costs:
    """Costs of layers on this CPU; measured once a step and kept, so that a resumed step chooses the same shapes."""
    path = shop.folder(step) / f"costs-{key}.json"
    kept = read_json(path)
    if kept is None:
        kept = asdict(measure_costs(REFERENCES[shop.recipe.lang].config))
        write_json(path, kept)
    shop.say(f"{step}: costs on this CPU {kept}")
    return Costs(**kept)


def _shrink(shop: RunContext, encoder: Encoder, settings: Prune, aim: prune.Aim, seed: int) -> Encoder:
    repeats = np.minimum(shop.pool.repeats(settings.epochs, 1.0), 1.0)
    runs = examples.draw(shop.pool.examples, repeats, 2048, seed)[:SALIENCY_BATCHES]
    # The projection to the teacher's states is fresh here and would only add noise.
    settings = settings.model_copy(update={"hidden": 0.0, "silver": 0.0})
    loss = distil_loss(shop.answers, settings, unseen_id(shop)) if settings.alpha else student_loss(shop, settings)
    learner = Learner(encoder, 1)
    scores = prune.importance(learner, encoder, shop.pool.examples, runs, loss)
    return prune.shrink(encoder, aim.choose(scores))


def quantize_student(shop: RunContext, name: str, key: str) -> dict[str, Any]:
    """Run the step `quantize`: static int8, then quantization-aware training if a gate is missed and the recipe has `qat`.

    Args:
        shop: Context of the run.
        name: Name of the student.
        key: Key of the step; names its checkpoint.

    Returns:
        Record of the step: that of `reached`; `post_training_figures` (before any quantization-aware training), `calibration`,
        `neutral_bias`, `errors` (of `error_report`), and the package's `digest` and `bytes`; for a student that is not shipped
        `engine_ratio` too.

    Raises:
        FactoryError: The step before has left no model.
        GateFailedError: The package of a shipped student is larger than its `max_mb`.
    """
    student = shop.recipe.students[name]
    settings = student.quantize
    encoder = shop.restore(float_step(name, student))
    if not settings.paths:
        encoder = without_transitions(encoder)
    rng = np.random.default_rng(shop.recipe.seed)
    docs = rng.choice(len(shop.pool.examples), min(settings.texts, len(shop.pool.examples)), replace=False)
    quantize_linears(encoder, quantize.calibrate(encoder, shop.pool.examples, docs))
    added = balance_student(shop, encoder) if settings.balance else 0.0
    calibration, tagger = _calibrated(shop, encoder, student)
    record = reached(shop, encoder, tagger)
    record["post_training_figures"] = record["figures"]
    missed = below(record["figures"], student.gate)
    if settings.qat is not None and missed:
        shop.say(f"{name}.quantize: {'; '.join(missed)}: trained on with the rounding in place")
        train_student(shop, encoder, settings.qat, 1.0, f"{name}.quantize", key, shop.recipe.seed + 30)
        added += balance_student(shop, encoder) if settings.balance else 0.0
        calibration, tagger = _calibrated(shop, encoder, student)
        record |= reached(shop, encoder, tagger)
    if not student.ship:
        record["engine_ratio"] = engine_ratio(tagger, shop.posts[:SPEED_POSTS], default_threads(), rounds=3)[0]
    folder = shop.folder(f"{name}.quantize") / "model"
    package = write_package(
        folder, name, shop.recipe.lang, student.window, encoder.config, to_weights(encoder), shop.tokenizer_json,
        calibration=tagger.calibration, sentiment_bias=tagger.sentiment_bias,
    )  # fmt: skip
    megabytes = sum(f.stat().st_size for f in folder.iterdir()) / 1e6
    if student.ship and megabytes > student.max_mb:
        raise GateFailedError(f"step '{name}.quantize': {megabytes:.1f} MB > {student.max_mb} MB")
    errors = quantize.error_report(encoder, shop.pool.examples, docs[:64].tolist())
    record["calibration"] = calibration
    return record | {"neutral_bias": added, "errors": errors, "digest": package.digest, "bytes": round(megabytes * 1e6)}


def _calibrated(shop: RunContext, encoder: Encoder, student: Student) -> tuple[dict[str, Any] | None, Tagger]:
    """What was fitted to the real posts, if the recipe asks for it, and the quantized encoder's tagger with it."""
    if not student.quantize.calibrate:
        return None, shop.tagger(encoder, student.window, quantized=True)
    found = calibrate_student(shop, encoder, student.window)
    tagger = shop.tagger(encoder, student.window, quantized=True)
    scores, gold = real_sentiment(tagger, shop.data_dir)
    found["decision"] = fit_decision(scores, gold, shop.recipe.seed)
    tagger.sentiment_bias = tuple(found["decision"]["bias"])
    found["entities"] = fit_entity_scores(real_entities(tagger, shop.data_dir), shop.recipe.seed)
    tagger.calibration = tuple(found["entities"]["weights"])
    return found, tagger


def below(figures: dict[str, float], gate: dict[str, float]) -> list[str]:
    """List the figures that miss their gate.

    Args:
        figures: What was reached, in per cent.
        gate: Figure -> least value, in per cent.

    Returns:
        A phrase for each figure that is below its least value or absent.
    """
    return [f"{key} {figures.get(key)} < {least}" for key, least in gate.items() if figures.get(key, -1.0) < least]


def export(shop: RunContext, name: str, key: str) -> dict[str, Any]:
    """Run the step `export`: copy the model into the zoo and write its card, metrics and pictures.

    Args:
        shop: Context of the run.
        name: Name of the student.
        key: Key of the step; not needed here.

    Returns:
        Record of the step: the model's `figures` and its measured `speed`.

    Raises:
        FactoryError: The student has not been quantized, or the shipped model that it was taught on from has no metrics.
    """
    student = shop.recipe.students[name]
    return card.export(shop, name, ["teacher", *(f"{name}.{kind}" for kind in kinds(student))])


STEPS: dict[str, Callable[[RunContext, str, str], dict[str, Any]]] = {
    "distil": distil, "prune": prune_student, "quantize": quantize_student, "export": export,
}  # fmt: skip
