"""The order of a factory run: which steps a recipe has, which of them are done, and the gates that they must pass."""

from __future__ import annotations

from typing import Any

from models.errors import FactoryError, GateFailedError
from models.factory import pretraining, steps, training
from models.factory.distillation_data import describe
from models.factory.recipe import BUILT_IN, SHIPPED, Recipe, Student
from models.factory.run_context import RunContext, key_of

# Settings of a run that say how long it may take, not what is made.
PACE = {"minutes", "checkpoint_s"}


def names(recipe: Recipe) -> list[str]:
    """List all steps of a recipe in order; exports come last, so that every card can show all students.

    Args:
        recipe: The recipe.

    Returns:
        Names of the steps: `read`, `teacher`, `label`, and `STUDENT.KIND` for each step of a student.
    """
    found = ["read"] if recipe.read else []
    if recipe.trains_teacher:
        found += ["teacher"]
    if recipe.asks_teacher:
        found += ["label"]
    for name, student in recipe.students.items():
        found += [f"{name}.{kind}" for kind in steps.kinds(student)]
    return found + [f"{name}.export" for name, student in recipe.students.items() if student.ship]


def run(shop: RunContext, only: str | None = None, start: str | None = None) -> None:
    """Run the steps of a recipe; a step that was done with the same settings is skipped.

    Args:
        shop: Context of the run.
        only: Step that alone is run, anew even if it is done; None runs all.
        start: Step to begin at, which is run anew even if it is done; None begins at the first.

    Raises:
        FactoryError: There is no step of that name, or one that it needs has not been run.
        GateFailedError: A step reaches, or had reached, less than its gate; raised before the next step.
    """
    known = names(shop.recipe)
    for name in (only, start):
        if name is not None and name not in known:
            raise FactoryError(f"no step {name!r}; the steps are {', '.join(known)}")
    chosen = [only] if only else known[known.index(start) if start else 0 :]
    forced = {only, start} - {None}
    for step in chosen:
        key = step_key(shop, step)
        record = shop.done(step)
        if step in forced:
            shop.forget(step)
            record = None
        if record is None or record["key"] != key:
            shop.say(f"{step}: begins")
            shop.finish(step, key, _perform(shop, step, key))
            record = shop.done(step) or {}
            shop.say(f"{step}: done  " + "  ".join(f"{k} {v}" for k, v in record.get("figures", {}).items()))
        else:
            shop.say(f"{step}: done before")
        check_gate(step, record.get("figures", {}), _gate(shop.recipe, step))


def check_gate(step: str, figures: dict[str, float], gate: dict[str, float]) -> None:
    """Check that a step has reached its gate.

    Args:
        step: Name of the step, for the message.
        figures: What it reached, in per cent.
        gate: Figure -> least value, in per cent.

    Raises:
        GateFailedError: A figure is below its gate or absent; the message names each.
    """
    if low := steps.below(figures, gate):
        raise GateFailedError(f"step {step!r}: {'; '.join(low)}")


def _gate(recipe: Recipe, step: str) -> dict[str, float]:
    name, _, kind = step.partition(".")
    if step == "teacher":
        return recipe.teacher.gate
    return recipe.students[name].gate if kind == "quantize" else {}


def step_key(shop: RunContext, step: str) -> str:
    """Digest what a step's result depends on: its settings, the seed, and the keys of the steps before it.

    Left out are the contents of the corpora; the gates, but for exports and for what may be trained again where one is missed;
    and of most settings how long the run may take and how often it is saved.

    Args:
        shop: Context of the run.
        step: Name of the step.

    Returns:
        The key; a step whose record has another one is run again.
    """
    recipe = shop.recipe
    base: list[Any] = [step, recipe.seed, recipe.negative_factor, recipe.lang]
    if step == "read":
        settings = recipe.read.model_dump(exclude_defaults=True) if recipe.read else None
        return key_of(base, settings, recipe.teacher.encoder, recipe.teacher.latin)
    if step == "teacher":
        left_out = {"gate", *PACE}
        return key_of(base, recipe.teacher.model_dump(exclude=left_out, exclude_defaults=True), _done_key(shop, "read"))
    if step == "label":
        others = recipe.label.others
        digest = shop.shipped_package(others).digest if others else None
        return key_of(base, recipe.label.model_dump(exclude_defaults=True), _done_key(shop, "teacher"), digest)
    name, _, kind = step.partition(".")
    student = recipe.students[name]
    settings = getattr(student, kind, None)
    # What an export shows of the others, and whether a speed beside the shipped ones is measured.
    shown: Any = student.ship if kind in ("distil", "quantize") else None
    if kind == "quantize" and student.quantize.qat is not None:
        shown = [student.ship, student.gate]  # whether quantization-aware training follows
    if kind == "export":
        last = [f"{other}.{steps.kinds(one)[-1]}" for other, one in recipe.students.items()]
        shown = [student.summary, student.gate, [_done_key(shop, step) for step in last]]
    origin: str | None
    if student.start.startswith(SHIPPED):
        origin = shop.shipped_package(student.start.removeprefix(SHIPPED)).digest
    else:
        built_in = "read" if student.start == "read" else "teacher"
        origin = _done_key(shop, built_in if student.start in BUILT_IN else f"{student.start}.distil")
    return key_of(
        base,
        [
            student.start,
            student.layers,
            student.window,
            settings.model_dump(exclude=PACE, exclude_defaults=True) if settings is not None else None,
        ],
        shown,
        [origin, _done_key(shop, _before(name, student, kind)), *_beside(shop, name, kind)],
    )


def _beside(shop: RunContext, name: str, kind: str) -> list[Any]:
    """What a student's run hangs on beside itself: those that learn with it, or the run in which it learned."""
    if kind != "distil":
        return []
    students = shop.recipe.students
    others = [[other, one.start, one.layers] for other, one in students.items() if one.beside == name]
    run = students[name].beside
    return [*others, *([_done_key(shop, f"{run}.distil")] if run else [])]


def _before(name: str, student: Student, kind: str) -> str:
    before = {"distil": "label", "prune": f"{name}.distil", "export": f"{name}.quantize"}
    return before.get(kind, steps.float_step(name, student))


def _done_key(shop: RunContext, step: str) -> str | None:
    record = shop.done(step)
    return record["key"] if record else None


def _perform(shop: RunContext, step: str, key: str) -> dict[str, Any]:
    if step == "read":
        return pretraining.pretrain(shop, key)
    if step == "teacher":
        return training.train_teacher(shop, key)
    if step == "label":
        for line in describe(shop.pool):
            shop.say("label: " + line)
        _ = shop.answers  # what is kept on disk is whole before a student learns
        return {"texts": len(shop.pool.examples)}
    name, _, kind = step.partition(".")
    return steps.STEPS[kind](shop, name, key)
