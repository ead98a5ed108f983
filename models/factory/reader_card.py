"""The card of a reader: what it is, how good and how fast, and what it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.factory.latency import median_s
from models.factory.reader_corpora import HELD_OUT, TRAIN, Question
from models.runtime.package import MANIFEST, TOKENIZER, WEIGHTS
from models.runtime.reader import Reader

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
PASSAGES = (1, 5, 10)


def reading_ms(reader: Reader, questions: list[Question]) -> dict[str, float]:
    """Measure how long a question takes with several passages.

    Args:
        reader: The reader.
        questions: Of which passages are taken, cut to 250 characters, as an index holds them.

    Returns:
        Number of passages -> median milliseconds, from strings to answers.
    """
    texts = [one.context[:250] for one in questions[: max(PASSAGES)]]
    asked = questions[0].question
    return {str(n): 1000 * median_s(lambda n=n: reader.read([asked] * n, texts[:n]), 21) for n in PASSAGES}  # type: ignore[misc]


def reader_card(m: dict[str, Any]) -> str:
    """Return the text of `card.md`.

    Args:
        m: Metrics of the reader.
    """
    shapes = ", ".join(f"{heads} x {ffn}" for heads, ffn in m["layers"])
    errors = [one["relative_error"] for one in m["quantization_errors"]]
    span, answerable, constant = m["calibration"]
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
        "| | float | int8 (shipped) |",
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
        "## Quantization",
        "",
        f"Relative error of a layer's output when its input and weights are rounded: {min(errors):.3f} to {max(errors):.3f}.",
        f"Score: the logistic function of {span:.3f} x margin of span {answerable:+.3f} x margin of answerable {constant:+.3f}.",
        "",
        "## Made of",
        "",
        f"{STARTS[m['start']]}, taught for {m['steps']:,} steps; no teacher. One question in {m['none_every']} was also asked of",
        "a neighbouring passage that does not answer it:",
        "",
        "| corpus | licence |",
        "|---|---|",
        *(f"| {corpus.name} | {LICENCES[corpus.name]} |" for corpus in TRAIN[m["lang"]]),
        "",
        "Some of these are for research or non-commercial use only.",
    ]
    return "\n".join(lines) + "\n"


def folder_bytes(folder: Path) -> int:
    """Return the size of a model's files.

    Args:
        folder: Of the model.
    """
    return sum((folder / name).stat().st_size for name in (WEIGHTS, TOKENIZER, MANIFEST))
