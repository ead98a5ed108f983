"""The model's card: what it is, what it reached at every stage, and what it was trained on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from models.bench import measure
from models.errors import FactoryError
from models.factory.corpora import CORPORA
from models.factory.evaluate import FIGURES
from models.factory.files import read_json, write_json, write_whole
from models.factory.front import comparison_table, comparisons, draw_front
from models.factory.recipe import SHIPPED
from models.runtime.engines import default_threads
from models.runtime.package import MANIFEST, TOKENIZER, WEIGHTS, open_package
from models.runtime.shapes import EncoderConfig

if TYPE_CHECKING:
    from models.factory.workshop import Workshop

FIRST_TEACHER, SENTIMENT_TEACHER = "first teacher", "sentiment teacher"
STAGE_KEYS = ("figures", "parameters", "macs_a_token", "tokens_s")
PRETRAINED = {"minilm": "MiniLM-L6-H384 (Apache-2.0)", "mpnet": "MPNet-base (Apache-2.0)"}


def macs_a_token(config: EncoderConfig, length: int = 64) -> int:
    """Multiply-accumulates for one token of a sequence of `length`: linear layers and attention, heads left out."""
    total = 0
    for shape in config.layers:
        inner = shape.heads * config.head_dim
        total += config.hidden * (4 * inner + 2 * shape.ffn) + 2 * inner * length
    return total


def export(shop: Workshop, name: str, stages: Sequence[str]) -> dict[str, Any]:
    """Copy the quantized model into the zoo; measure its speed; write `metrics.json`, `card.md` and the pictures."""
    source, folder = shop.work / f"{name}.quantize" / "model", shop.zoo / name
    folder.mkdir(parents=True, exist_ok=True)
    if not (source / MANIFEST).exists():
        raise FactoryError(f"{source} holds no model; run the step '{name}.quantize' first")
    for file in (WEIGHTS, TOKENIZER, MANIFEST):
        write_whole(folder / file, partial(shutil.copyfile, source / file))
    package = open_package(folder)
    shop.say(f"{name}.export: measuring speed on {len(shop.posts):,} forum posts")
    speed = measure(folder, shop.posts, default_threads(), rounds=5, pipelines=200)
    records = {stage: record for stage in stages if (record := shop.done(stage)) is not None}
    if shop.recipe.label.others is not None:
        records = {SENTIMENT_TEACHER if stage == "teacher" else stage: record for stage, record in records.items()}
    last = records[stages[-1]]
    before = _before(shop, name)
    data = {*shop.recipe.teacher.epochs, *shop.recipe.label.gold, *shop.recipe.label.unlabelled}
    metrics: dict[str, Any] = {
        "name": name,
        "lang": package.lang,
        "summary": shop.recipe.students[name].summary,
        "digest": package.digest,
        "hidden": package.config.hidden,
        "pretrained": sorted({PRETRAINED["minilm"], PRETRAINED[shop.recipe.teacher.encoder], *before["pretrained"]}),
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
    }
    write_json(folder / "metrics.json", metrics)
    for other in shop.zoo.glob("*/metrics.json"):
        write_card(shop, other.parent.name)
    return {"figures": last["figures"], "speed": speed.to_json()}


def _before(shop: Workshop, name: str) -> dict[str, Any]:
    """What a card keeps of the shipped model that this one was taught on from: its first teacher and what it reached."""
    start = shop.recipe.students[name].start
    if not start.startswith(SHIPPED):
        return {"stages": {}, "pretrained": [], "data": [], "sparsity": []}
    shipped = start.removeprefix(SHIPPED)
    metrics = read_json(shop.shipped_package(shipped).folder / "metrics.json")
    if metrics is None:
        raise FactoryError(f"{shipped} has no metrics.json in {shop.zoo / shipped}; export it with its own recipe first")
    stages = metrics["stages"]
    first = stages.get(FIRST_TEACHER) or stages["teacher"]
    last = next(stage for key, stage in reversed(stages.items()) if key.endswith(".quantize"))
    kept: dict[str, Any] = metrics | {"stages": {FIRST_TEACHER: first, f"{shipped} before": last}}
    return kept


def write_card(shop: Workshop, name: str) -> None:
    """Write `card.md` and `front.png` of a model of the zoo from the metrics of all models."""
    folder = shop.zoo / name
    everyone = {p.parent.name: json.loads(p.read_text()) for p in sorted(shop.zoo.glob("*/metrics.json"))}
    others = comparisons(shop)
    draw_front(everyone, others, folder / "front.png", name)
    (folder / "card.md").write_text("\n".join(_card(everyone[name], everyone, others)) + "\n")


def _card(m: dict[str, Any], everyone: dict[str, Any], others: dict[str, Any]) -> list[str]:
    speed = m["speed"]
    shipped = {k: v["stages"][f"{k}.quantize"] for k, v in everyone.items() if k != m["name"]}
    columns = {**m["stages"], **{f"{k} (shipped)": stage for k, stage in shipped.items()}}
    shapes = ", ".join(f"{heads} x {ffn}" for heads, ffn in m["layers"])
    out = [
        f"# {m['name']}: {m['summary']}",
        "",
        f"Language {m['lang']}. Entities (PER, ORG, LOC, MISC), sentiment, words and universal parts of speech in one pass.",
        f"A post-norm encoder of {len(m['layers'])} layers, {m['hidden']} wide; heads x feed-forward width: {shapes}.",
        f"Static int8 weights and activations. {m['bytes'] / 1e6:.1f} MB; {m['macs_a_token'] / 1e6:.2f} M multiply-accumulates a",
        "token (64-token sequences).",
        "",
        "## Figures (per cent, development splits)",
        "",
        "| | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for figure in FIGURES:
        out.append(_row(figure.title, [column["figures"].get(figure.key) for column in columns.values()], "{:.2f}"))
    out.append(_row("parameters, million", [_million(c["parameters"]) for c in columns.values()], "{:.1f}"))
    out.append(_row("multiply-accumulates a token, million", [_million(c["macs_a_token"]) for c in columns.values()], "{:.2f}"))
    out.append(_row("engine on this CPU, tokens/s", [c["tokens_s"] for c in columns.values()], "{:,.0f}"))
    out += [
        "",
        f"Shipped is {m['name']}.quantize. `textmill evaluate {m['name']} --data-dir DATA` measures it again.",
        "",
        *comparison_table(everyone, others),
        "## Speed",
        "",
        f"CPU: {speed['cpu']}, {speed['threads']} threads; {speed['texts']:,} real forum posts; medians of one alternating run.",
        "",
        f"- engine {speed['engine_tokens_s']:,.0f} tokens/s, fp32 MiniLM-L6 in torch on the same batches "
        f"{speed['reference_tokens_s']:,.0f}: **{speed['engine_ratio']:.1f}x**",
        f"- from strings to table {speed['tag_docs_s']:,.0f} documents/s; two transformers pipelines "
        f"{speed['pipelines_docs_s']:,.1f}: **{speed['pipelines_ratio']:.1f}x** (on the same texts)",
        f"- padding {100 * speed['padding']:.1f} % of the tokens computed",
        "",
        "![entity F1 and speed](front.png)",
        "",
        "## Pruning",
        "",
        "| part | parameters before | after | sparsity coefficient | compression rate |",
        "|---|---|---|---|---|",
        *(
            f"| {r['part']} | {r['before']:,} | {r['after']:,} | {r['sparsity']:.3f} | "
            f"{'removed' if r['compression'] is None else format(r['compression'], '.2f')} |"
            for r in m["sparsity"]
        ),
        "",
        "The sparsity coefficient is the share of parameters that were removed (structured: nothing is merely zeroed).",
        "",
        "## Quantization error of each layer",
        "",
        "| layer | relative error of its output | input range |",
        "|---|---|---|",
        *(f"| {r['layer']} | {r['relative_error']:.4f} | {r['low']:.2f} to {r['high']:.2f} |" for r in m["quantization_errors"]),
        "",
        "## Data and licences",
        "",
        f"Pretrained: {' and '.join(m['pretrained'])}. Trained on:",
        "",
        *(f"- {name}: {CORPORA[name].licence}" for name in m["data"]),
        "",
        "Some of these licences allow research use only, or no commercial use; they bind this model too.",
        "",
        "## Limits",
        "",
        "- The vocabulary is uncased and English; case reaches the model as a feature of each token. Other languages are",
        "  tagged badly.",
        "- Entities follow CoNLL-2003 (news of 1996): nationalities and events are MISC; social posts score lower, see btc and",
        "  wnut17 above.",
        "- Sentiment comes from film reviews and tweets; irony and mixed feelings are often missed.",
        "- Scores are not calibrated probabilities.",
    ]
    return out


def _million(value: float | None) -> float | None:
    return None if value is None else value / 1e6


def _row(title: str, values: Sequence[float | None], form: str) -> str:
    return f"| {title} | " + " | ".join("" if value is None else form.format(value) for value in values) + " |"
