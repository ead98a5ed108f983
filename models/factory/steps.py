"""The steps of the factory, each a function of the workshop; `run` strings them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from models.errors import FactoryError, GateFailedError
from models.factory import card, examples, losses, pretrained, prune, quantize
from models.factory.distill import Learner, distil_loss
from models.factory.evaluate import evaluate
from models.factory.labelling import describe
from models.factory.latency import measure_costs
from models.factory.lstm import LstmTagger
from models.factory.mixture import load_mixture
from models.factory.recipe import Distil, Student
from models.factory.train import fit
from models.factory.workshop import Workshop, key_of
from models.runtime.encoder import Encoder
from models.runtime.package import write_package
from models.runtime.weights import to_weights


def names(shop: Workshop) -> list[str]:
    """All steps of the recipe, in order."""
    steps = ["teacher", "label"]
    for name, student in shop.recipe.students.items():
        steps.append(f"{name}.distil")
        if student.start != "lstm":
            steps += [f"{name}.prune"] if student.prune else []
            steps += [f"{name}.quantize", f"{name}.export"]
    return steps


def run(shop: Workshop, only: str | None = None, start: str | None = None) -> None:
    """Run all steps, those from `start` on, or only one; a step that is done with the same settings is skipped.

    Raises GateFailedError, before the next step, if a step reached less than its gate.
    """
    steps = names(shop)
    for name in (only, start):
        if name is not None and name not in steps:
            raise FactoryError(f"no step {name!r}; the steps are {', '.join(steps)}")
    chosen = [only] if only else steps[steps.index(start) if start else 0 :]
    forced = {only, start} - {None}
    for step in chosen:
        key = _key(shop, step)
        done = shop.done(step)
        if done and done["key"] == key and step not in forced:
            shop.say(f"{step}: done before")
            continue
        shop.say(f"{step}: begins")
        record = _step(shop, step, key)
        shop.finish(step, key, record)
        figures = record.get("figures", {})
        shop.say(f"{step}: done  " + "  ".join(f"{k} {v}" for k, v in figures.items()))
        if step == "teacher":
            check_gate(step, figures, shop.recipe.teacher.gate)
        elif step.endswith(".quantize"):
            check_gate(step, figures, shop.recipe.students[step.split(".")[0]].gate)


def check_gate(step: str, figures: dict[str, float], gate: dict[str, float]) -> None:
    """Raise GateFailedError, naming each figure that is below its gate."""
    low = [f"{key} {figures.get(key)} < {least}" for key, least in gate.items() if figures.get(key, -1.0) < least]
    if low:
        raise GateFailedError(f"step {step!r}: {'; '.join(low)}")


def _key(shop: Workshop, step: str) -> str:
    recipe = shop.recipe
    base: list[Any] = [step, recipe.seed, recipe.negative_factor, recipe.lang]
    if step == "teacher":
        return key_of(base, recipe.teacher.model_dump(exclude={"gate"}))
    if step == "label":
        return key_of(base, recipe.label.model_dump(), (shop.done("teacher") or {}).get("key"))
    name, _, kind = step.partition(".")
    student = recipe.students[name]
    before = {"distil": "label", "prune": f"{name}.distil"}.get(kind, _float_step(name, student))
    if kind == "export":
        before = f"{name}.quantize"
    parts = [student.start, student.layers, student.window, getattr(student, kind, None)]
    origin = (shop.done(f"{student.start}.distil") or {}).get("key") if student.start in recipe.students else None
    return key_of(
        base,
        [p.model_dump() if hasattr(p, "model_dump") else p for p in parts],
        origin,
        (shop.done(before) or {}).get("key"),
    )


def _float_step(name: str, student: Student) -> str:
    return f"{name}.prune" if student.prune else f"{name}.distil"


def _step(shop: Workshop, step: str, key: str) -> dict[str, Any]:
    if step == "teacher":
        return train_teacher(shop, key)
    if step == "label":
        for line in describe(shop.pool):
            shop.say("label: " + line)
        return {"texts": len(shop.answers.sentiment)}
    name, _, kind = step.partition(".")
    verbs: dict[str, Callable[[Workshop, str, str], dict[str, Any]]] = {
        "distil": distil, "prune": prune_student, "quantize": quantize_student, "export": export,
    }  # fmt: skip
    return verbs[kind](shop, name, key)


def train_teacher(shop: Workshop, key: str) -> dict[str, Any]:
    """Fine-tune the teacher on the gold labels of all corpora; its word, position and relative embeddings stay."""
    settings = shop.recipe.teacher
    data, repeats = load_mixture(settings.epochs, shop.data_dir, shop.tokenizer, shop.recipe.negative_factor)
    torch.manual_seed(shop.recipe.seed)
    teacher = pretrained.mpnet(shop.cache) if settings.encoder == "mpnet" else pretrained.minilm(shop.cache)
    teacher.dropout = settings.dropout
    for part in (teacher.words, teacher.places, teacher.relative):
        if part is not None:
            part.requires_grad_(False)
    runs = examples.draw(data, repeats, settings.budget_tokens, shop.recipe.seed)
    checkpoint = shop.folder("teacher") / f"checkpoint-{key}.pt"
    say = _prefixed(shop, "teacher")
    fit(teacher, data, runs, losses.supervised, settings.schedule(), checkpoint, shop.recipe.seed, say)
    shop.save("teacher", teacher)
    figures = evaluate(shop.tagger(teacher, 128), shop.data_dir)
    checkpoint.unlink(missing_ok=True)
    return {"figures": figures, "parameters": _parameters(teacher)}


def _parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _prefixed(shop: Workshop, step: str) -> Callable[[str], None]:
    return lambda line: shop.say(f"{step}: {line}")


def _train(shop: Workshop, student: nn.Module, settings: Distil, share: float, checkpoint: str, seed: int) -> None:
    """One run of a student on the teacher's answers, in place."""
    pool, answers = shop.pool, shop.answers
    repeats = pool.repeats(settings.epochs, settings.share * share, shop.recipe.negative_factor)
    runs = examples.draw(pool.examples, repeats, settings.budget_tokens, seed)
    torch.manual_seed(seed)
    student.dropout = settings.dropout
    learner = Learner(student, answers.hidden.shape[1])
    path = shop.folder(checkpoint.split("/")[0]) / f"checkpoint-{checkpoint.split('/')[1]}.pt"
    say = _prefixed(shop, checkpoint.split("/")[0])
    fit(learner, pool.examples, runs, distil_loss(answers, settings), settings.schedule(), path, seed, say)
    path.unlink(missing_ok=True)


def _start(shop: Workshop, student: Student) -> tuple[nn.Module, tuple[int, ...]]:
    if student.start == "lstm":
        return LstmTagger(pretrained.minilm(shop.cache).words.weight.detach()), ()
    whole = pretrained.minilm(shop.cache) if student.start == "minilm" else shop.restore(f"{student.start}.distil")
    layers = student.layers or tuple(range(len(whole.config.layers)))
    return prune.keep_layers(whole, layers), layers


def distil(shop: Workshop, name: str, key: str) -> dict[str, Any]:
    """The student at full width learns from the teacher."""
    student = shop.recipe.students[name]
    torch.manual_seed(shop.recipe.seed + 1)
    model, layers = _start(shop, student)
    _train(shop, model, student.distil, 1.0, f"{name}.distil/{key}", shop.recipe.seed + 1)
    if isinstance(model, Encoder):
        shop.save(f"{name}.distil", model)
    figures = evaluate(shop.tagger(model, student.window), shop.data_dir)
    return {"figures": figures, "parameters": _parameters(model), "layers": layers}


def prune_student(shop: Workshop, name: str, key: str) -> dict[str, Any]:
    """Remove heads and neurons in rounds until the measured costs promise the speed; recover after each round."""
    student = shop.recipe.students[name]
    settings = student.prune
    assert settings is not None
    step = f"{name}.prune"
    reference = pretrained.minilm(shop.cache).config
    costs = measure_costs(reference)
    shop.say(f"{step}: costs on this CPU {costs}")
    encoder = shop.restore(f"{name}.distil")
    begin = costs.speed(encoder.config.layers)
    for number in range(1, settings.rounds + 1):
        target = begin * (settings.speed / begin) ** (number / settings.rounds)
        # A round that was finished before a kill is taken from disk.
        mark = f"{step}/{key}-{number}"
        kept = shop.folder(step) / f"round-{key}-{number}"
        if (kept / "encoder.safetensors").exists():
            encoder = shop.restore(f"{step}/{kept.name}")
            continue
        loss = distil_loss(shop.answers, settings)
        learner = Learner(encoder, shop.answers.hidden.shape[1])
        repeats = shop.pool.repeats(settings.epochs, 1.0, 1.0)
        runs = examples.draw(shop.pool.examples, np.minimum(repeats, 1.0), 2048, shop.recipe.seed + 10 + number)[:24]
        no_hidden = distil_loss(shop.answers, settings.model_copy(update={"hidden": 0.0}))
        del loss
        scores = prune.importance(learner, encoder, shop.pool.examples, runs, no_hidden)
        encoder = prune.shrink(encoder, prune.choose(scores, costs, target, settings.min_heads, settings.min_ffn))
        shapes = " ".join(f"{s.heads}x{s.ffn}" for s in encoder.config.layers)
        shop.say(f"{step}: round {number}/{settings.rounds}: {shapes} (heads x feed-forward), speed {target:.1f}x")
        # The last round, which is shipped, recovers for half of the whole; the others share the rest.
        share = 0.5 if number == settings.rounds and settings.rounds > 1 else 0.5 / max(1, settings.rounds - 1)
        share = 1.0 if settings.rounds == 1 else share
        _train(shop, encoder, settings, share, mark, shop.recipe.seed + 10 + number)
        shop.save(f"{step}/{kept.name}", encoder)
    shop.save(step, encoder)
    figures = evaluate(shop.tagger(encoder, student.window), shop.data_dir)
    whole, layers = _start(shop, student.model_copy(update={"layers": ()}))
    kept_layers = student.layers or layers
    report = prune.sparsity_report(whole, encoder, kept_layers)
    return {"figures": figures, "parameters": _parameters(encoder), "sparsity": report}


def quantize_student(shop: Workshop, name: str, key: str) -> dict[str, Any]:
    """Static int8; with `qat`, trained on with the rounding in place."""
    student = shop.recipe.students[name]
    settings = student.quantize
    assert settings is not None
    encoder = shop.restore(_float_step(name, student))
    rng = np.random.default_rng(shop.recipe.seed)
    docs = rng.choice(len(shop.pool.examples), min(settings.texts, len(shop.pool.examples)), replace=False)
    ranges = quantize.calibrate(encoder, shop.pool.examples, docs, settings.percentile)
    quantize.quantize(encoder, ranges)
    figures = evaluate(shop.tagger(encoder, student.window, quantized=True), shop.data_dir)
    record: dict[str, Any] = {"post_training_figures": figures}
    if settings.qat is not None:
        shop.say(f"{name}.quantize: without training {figures}")
        _train(shop, encoder, settings.qat, 1.0, f"{name}.quantize/{key}", shop.recipe.seed + 30)
        figures = evaluate(shop.tagger(encoder, student.window, quantized=True), shop.data_dir)
    errors = quantize.error_report(encoder, shop.pool.examples, docs[:64].tolist())
    folder = shop.folder(f"{name}.quantize") / "model"
    package = write_package(
        folder, name, shop.recipe.lang, student.window, encoder.config, to_weights(encoder), shop.tokenizer_json
    )
    record |= {"figures": figures, "errors": errors, "digest": package.digest}
    size = sum(f.stat().st_size for f in folder.iterdir())
    check_gate(f"{name}.quantize", {"free_mb": student.max_mb - size / 1e6}, {"free_mb": 0.0})
    return record


def export(shop: Workshop, name: str, key: str) -> dict[str, Any]:
    """Copy the model into the zoo and write its card, metrics and pictures."""
    return card.export(shop, name, _stages(shop, name))


def _stages(shop: Workshop, name: str) -> Sequence[str]:
    student = shop.recipe.students[name]
    return ["teacher", f"{name}.distil", *([f"{name}.prune"] if student.prune else []), f"{name}.quantize"]
