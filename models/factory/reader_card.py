"""The card of a reader: what it is, how good and how fast, and what it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.factory.card_text import sparsity_table
from models.factory.pareto import draw_front
from models.factory.reader_corpora import HELD_OUT, training_corpora
from models.factory.recipe import SHIPPED

TITLES = {
    "tydi_em": "TyDi QA GoldP English dev, exact match",
    "tydi_f1": "TyDi QA GoldP English dev, F1",
    "realtimeqa_em": f"RealTime QA, news from {HELD_OUT} on, exact match",
    "realtimeqa_f1": f"RealTime QA, news from {HELD_OUT} on, F1",
    "cmrc_em": "CMRC 2018 trial, exact match",
    "cmrc_f1": "CMRC 2018 trial, F1",
    "drcd_em": "DRCD dev, exact match",
    "drcd_f1": "DRCD dev, F1",
    "calibration_error": "expected calibration error of the score (0 is best)",
    "precision_at_60": "of the surest 60 % of answers, so many are right",
}
MARGINS = ("span", "answerable", "other span", "log p")
STARTS = {"minilm": "MiniLM-L6-H384 (Apache-2.0)", "mpnet": "MPNet-base (Apache-2.0)", "e5": "multilingual-e5-small (MIT)"}
LICENCES = {
    "squad11_part": "CC BY-SA 4.0",
    "tydi_goldp_en_train": "Apache-2.0",
    "realtimeqa_2020_2024": "not stated",
    "qamr_dev_test": "MIT",
    "qa_zre": "Apache-2.0",
    "tweetqa_extractive": "CC BY-SA 4.0",
    "fairytaleqa_extractive": "Apache-2.0",
    "policyqa_dev_test": "MIT",
    "sciq_part_extractive": "CC BY-NC 3.0",
    "multispanqa_valid": "CC BY-SA 3.0",
    "bipar_valid_dev": "CC BY-NC 4.0",
    "subjqa_train": "the terms of the reviews' sites",
    "cmrc2018_train": "CC BY-SA 4.0",
    "squad20_dev_zh_mt": "CC BY-SA 4.0 (SQuAD), translation not stated",
    "cjrc_law_dev_test": "research use",
    "webqa_sample": "research use",
}


def reader_card(m: dict[str, Any]) -> str:
    """Return the text of `card.md`.

    Args:
        m: Metrics of the reader.
    """
    shapes = ", ".join(f"{heads} x {ffn}" for heads, ffn in m["layers"])
    before = "float" if len(m["stages"]) == 1 else f"{m['stages'][0]['name']}, float"
    errors = [one["relative_error"] for one in m["quantization_errors"]]
    *weights, constant = m["calibration"]
    lines = [
        f"# {m['name']}: {m['summary']}",
        "",
        f"Language {m['lang']}. Reads a question and a passage together, and points at the span that answers it; the score is",
        "the probability that the span is right. It never makes an answer up: what it says stands in the passage.",
        f"A post-norm encoder of {len(m['layers'])} layers; heads x feed-forward width: {shapes}.",
        f"Windows of {m['window']} tokens. Static int8 weights and activations. {m['bytes'] / 1e6:.1f} MB.",
        "",
        f"    textmill answer questions.jsonl answers.jsonl --model {m['name']}",
        "",
        "## Figures (per cent, development splits)",
        "",
        f"| | {before} | int8 (shipped) |",
        "|---|---|---|",
        *(f"| {TITLES[key]} | {m['float_figures'][key]:.2f} | {value:.2f} |" for key, value in m["figures"].items()),
        "",
        "F1 and exact match are over questions that have an answer. The calibration error is over those and half as many without",
        "one (asked of a passage on the topic), by cross-validation over passages; an answer is right if its F1 is 0.5 or more.",
        f"`textmill evaluate {m['name']} --data-dir DATA` measures it again.",
        "",
        "## Speed",
        "",
        f"CPU: {m['cpu']}. Median of 21 calls, from strings to answers, passages of 250 characters:",
        "",
        "| passages | before rounding, ms | int8, ms | ratio |",
        "|---|---|---|---|",
        *(f"| {n} | {m['float_ms'][n]:.1f} | {ms:.1f} | {m['float_ms'][n] / ms:.2f} |" for n, ms in m["ms"].items()),
        "",
        *_front(m),
        *_sparsity(m["sparsity"]),
        "## Quantization",
        "",
        f"Relative error of a layer's output when its input and weights are rounded: {min(errors):.3f} to {max(errors):.3f}.",
        "",
        "## Score",
        "",
        "The logistic function of "
        + " ".join(f"{weight:+.3f} x {margin}" for weight, margin in zip(weights, MARGINS, strict=True))
        + f" {constant:+.3f}:",
        "how far the logits of the span are above those of no span, of answerable above not, of the span above the best that",
        "does not overlap it (at most 20), and the log probability of both ends.",
        "",
        "## Made of",
        "",
        f"{_start(m['start'])}; steps of training: {', '.join(f'{name} {steps:,}' for name, steps in m['steps'].items())}.",
        f"One question in {m['none_every']} was also asked of a neighbouring passage that does not answer it:",
        "",
        "| corpus | licence |",
        "|---|---|",
        *(
            f"| {name} | {LICENCES[corpus.name]} |"
            for name, (_, corpus) in training_corpora(m["lang"], m.get("also", {})).items()
        ),
        "",
        "Some of these are for research or non-commercial use only.",
    ]
    return "\n".join(lines) + "\n"


def mean_f1(figures: dict[str, float]) -> float:
    """Return the mean F1 of a reader's development sets.

    Args:
        figures: Its figures, in per cent.
    """
    shares = [value for figure, value in figures.items() if figure.endswith("_f1")]
    return sum(shares) / len(shares)


def draw_reader_front(m: dict[str, Any], path: Path) -> None:
    """Plot the mean F1 of each stage's int8 reader against its latency and save the picture.

    Args:
        m: Metrics of the reader.
        path: Where the picture is written; its suffix says the format.
    """
    places = {stage["name"]: (stage["ms"]["10"], mean_f1(stage["figures"])) for stage in m["stages"]}
    shipped = {m["name"]: places.pop(m["stages"][-1]["name"])}
    draw_front(shipped, places, m["name"], "ten passages, ms (int8)", "mean F1 (%)", path)


def _start(start: str) -> str:
    name = start.removeprefix(SHIPPED)
    return STARTS[start] if name == start else f"The shipped reader `{name}` (its card says what that is made of)"


def _front(m: dict[str, Any]) -> list[str]:
    """What each stage is worth; nothing where there is one alone."""
    if len(m["stages"]) == 1:
        return []
    return [
        "## F1 against latency",
        "",
        "Each stage of its making, rounded to int8; the last is shipped. Latency on the CPU above.",
        "",
        "| stage | parameters | multiply-adds a token, millions | MB | ten passages, ms | mean F1, float | int8 |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {one['name']} | {one['parameters']:,} | {one['macs_a_token'] / 1e6:.1f} | {one['bytes'] / 1e6:.1f} | "
            f"{one['ms']['10']:.1f} | {mean_f1(one['float_figures']):.2f} | {mean_f1(one['figures']):.2f} |"
            for one in m["stages"]
        ),
        "",
        "![F1 against latency](front.png)",
        "",
    ]


def _sparsity(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    return ["## Pruning", "", *sparsity_table(rows)]
