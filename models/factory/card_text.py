"""The text of a model's card: what it is, what it reached at every stage, how fast it is, and what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.factory.card_examples import examples_table
from models.factory.corpora import CORPORA
from models.factory.evaluate import figures_of
from models.factory.languages import language
from models.factory.pareto import comparison_table
from models.runtime.labels import MIN_SCORE

# Marks of licences that are none.
UNSAID = ("not stated", "terms", "text")


def card_text(m: dict[str, Any], everyone: dict[str, Any], others: dict[str, Any]) -> list[str]:
    """Return the lines of a model's `card.md`.

    Args:
        m: The model's `metrics.json`.
        everyone: Shipped model of the language -> its `metrics.json`; the model itself is among them.
        others: Student that is not shipped -> its figures, as from `models.factory.pareto.comparisons`.
    """
    speed, tongue = m["speed"], language(m["lang"])
    shipped = {k: v["stages"][f"{k}.quantize"] for k, v in everyone.items() if k != m["name"]}
    columns = {**m["stages"], **{f"{k} (shipped)": stage for k, stage in shipped.items()}}
    shapes = ", ".join(f"{heads} x {ffn}" for heads, ffn in m["layers"])
    out = [
        f"# {m['name']}: {m['summary']}",
        "",
        f"Language {m['lang']}. Entities (PER, ORG, LOC, MISC), sentiment, words and universal parts of speech in one pass.",
        f"A post-norm encoder of {len(m['layers'])} layers, {m['hidden']} wide; heads x feed-forward width: {shapes}.",
        tongue.reads,
        f"Static int8 weights and activations. {m['bytes'] / 1e6:.1f} MB; {m['macs_a_token'] / 1e6:.2f} M multiply-accumulates a",
        "token (64-token sequences).",
        *_bound(m["data"]),
        "",
        f"    textmill tag posts.jsonl out/ --model {m['name']}",
        "",
        f'In Python, `models.load("{m["name"]}").tag(["..."])` gives an Arrow table.',
        "",
        "## Figures (per cent, development splits)",
        "",
        "| | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for figure in figures_of(m["lang"]):
        reached = [column["figures"].get(figure.key) for column in columns.values()]
        if any(value is not None for value in reached):
            out.append(_row(figure.title, reached, "{:.2f}"))
    out.append(_row("parameters, million", [_million(c["parameters"]) for c in columns.values()], "{:.1f}"))
    out.append(_row("multiply-accumulates a token, million", [_million(c["macs_a_token"]) for c in columns.values()], "{:.2f}"))
    speeds = [f"{c['tokens_s']:,.0f}" + (f" ({c['gpu']})" if c.get("gpu") else "") for c in columns.values()]
    out.append("| engine on this CPU, or on the GPU named, tokens/s | " + " | ".join(speeds) + " |")
    out += [
        "",
        f"Shipped is {m['name']}.quantize. `textmill evaluate {m['name']} --data-dir DATA` measures it again.",
        "",
        *comparison_table(everyone, others, m["lang"]),
        *examples_table(m.get("examples", [])),
        *(["## What goes wrong", "", *("- " + kind for kind in tongue.errors), ""] if tongue.errors else []),
        "## Speed",
        "",
        f"CPU: {speed['cpu']}, {speed['threads']} threads; {speed['texts']:,} real {tongue.speed_texts}; medians of one",
        "alternating run.",
        "",
        f"- engine {speed['engine_tokens_s']:,.0f} tokens/s, fp32 {speed.get('reference', 'MiniLM-L6')} in torch on the same "
        f"batches {speed['reference_tokens_s']:,.0f}: **{speed['engine_ratio']:.1f}x**",
        f"- from strings to table {speed['tag_docs_s']:,.0f} documents/s" + _beside(speed),
        f"- padding {100 * speed['padding']:.1f} % of the tokens computed",
        "",
        "![entity F1 and speed](front.png)",
        "",
        "## Pruning",
        "",
        *sparsity_table(m["sparsity"]),
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
        *("- " + limit for limit in tongue.limits),
        *_calibration(m.get("calibration")),
    ]
    return out


def _bound(data: Sequence[str]) -> list[str]:
    """What the licences of the training data come to, in one line."""
    terms = [CORPORA[name].licence for name in data]
    bound = sum("research" in one or "-NC" in one for one in terms)
    sites = sum("research" not in one and "-NC" not in one and any(mark in one for mark in UNSAID) for one in terms)
    return [
        f"Licence: {bound} of its {len(terms)} sources allow research or non-commercial use only, and {sites} have their "
        "sites' terms or state none. They bind this model (see [Data and licences](#data-and-licences)).",
    ]


def sparsity_table(rows: list[dict[str, Any]]) -> list[str]:
    """Write the table of what pruning has left.

    Args:
        rows: As from `sparsity_report`.

    Returns:
        Lines of Markdown.
    """
    return [
        "| part | parameters before | after | sparsity coefficient | compression rate |",
        "|---|---|---|---|---|",
        *(
            f"| {r['part']} | {r['before']:,} | {r['after']:,} | {r['sparsity']:.3f} | "
            f"{'removed' if r['compression'] is None else format(r['compression'], '.2f')} |"
            for r in rows
        ),
        "",
        "The sparsity coefficient is the share of parameters that were removed (structured: nothing is merely zeroed).",
        "",
    ]


def _calibration(found: dict[str, Any] | None) -> list[str]:
    """What the scores are worth."""
    found = found or {}
    sentiment = _sentiment_scores(found if "across" in found else None)
    return [*sentiment, *_decision(found.get("decision")), *_entity_scores(found.get("entities"))]


def _sentiment_scores(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["- Scores of sentiment are not calibrated probabilities."]
    reached = found["across"]
    return [
        f"- Scores of sentiment were fitted to the development split of the real posts (temperature {found['temperature']:.2f}, "
        f"a bias a class), so that its figures flatter. On posts that were not fitted to ({found['folds']} folds): macro F1 "
        f"{reached['macro_f1']:.1f}, of what is called negative {reached['negative_precision']:.1f} % are, expected calibration "
        f"error {reached['sentiment_ece']:.1f} %.",
    ]


def _decision(found: dict[str, Any] | None) -> list[str]:
    """By what biases a post is called negative or positive, if there are any."""
    if found is None or not any(found["bias"]):
        return []
    (negative, _, positive), reached = found["bias"], found["across"]
    return [
        f"- Biases of {negative:+.2f} for negative and {positive:+.2f} for positive were chosen on the same posts for macro F1, "
        "and so that what is called negative mostly is. On posts that they were not chosen on "
        f"({found['rounds']} times {found['folds']} folds): macro F1 {reached['macro_f1']:.1f}, of what is called negative "
        f"{reached['negative_precision']:.1f} % are, of what is negative {reached['negative_recall']:.1f} % is found, expected "
        f"calibration error {reached['sentiment_ece']:.1f} %.",
    ]


def _entity_scores(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["- Scores of entities are not calibrated probabilities."]
    (slope, constant), reached = found["weights"], found["across"]
    return [
        f"- Scores of entities are probabilities of being right, fitted to the same posts (slope {slope:.2f}, constant "
        f"{constant:.2f}). On posts that were not fitted to ({found['folds']} folds): expected calibration error "
        f"{reached['entity_ece']:.1f} % (before, {found['before']:.1f} %), and F1 {reached['f1']:.1f} of the entities whose "
        f"score is at least {MIN_SCORE}; the others are left out by default (`--min-score`).",
    ]


def _beside(speed: dict[str, Any]) -> str:
    """What other tools did with the same texts in the same run."""
    if speed["pipelines_docs_s"]:
        docs, ratio = speed["pipelines_docs_s"], speed["pipelines_ratio"]
        return f"; two transformers pipelines {docs:,.1f}: **{ratio:.1f}x** (on the same texts)"
    return "".join(
        f"; {name} {docs:,.0f}: **{speed['tag_docs_s'] / docs:.1f}x**" for name, docs in speed.get("labellers_docs_s", {}).items()
    )


def _million(value: float | None) -> float | None:
    return None if value is None else value / 1e6


def _row(title: str, values: Sequence[float | None], form: str) -> str:
    return f"| {title} | " + " | ".join("" if value is None else form.format(value) for value in values) + " |"
