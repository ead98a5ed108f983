"""The card of an embedder: what it is, how good and how fast, and what it was made of."""

from __future__ import annotations

from typing import Any

from models.factory.embedder_evaluate import TITLES
from models.factory.retrieval_set import ASKED, BESIDE


def embedder_card(m: dict[str, Any]) -> str:
    """Return the text of `card.md`.

    Args:
        m: Metrics of the embedder.
    """
    errors = [one["relative_error"] for one in m["quantization_errors"]]
    before, after = m["float_speed"], m["speed"]
    asked = ", ".join(f"{name} ({count:,})" for name, count in m["asked"].items())
    beside = ", ".join(name for name in (*ASKED[m["lang"]], *BESIDE[m["lang"]]))
    lines = [
        f"# {m['name']}: {m['summary']}",
        "",
        f"Language {m['lang']}. Makes a unit vector of {m['width']} numbers of a text: the mean of the last layer's states. The",
        "nearer two vectors, the more alike what the texts say; questions lie near the passages that answer them.",
        f"A post-norm encoder of {m['layers']} layers. Windows of {m['window']} tokens. Static int8 weights and activations.",
        f"{m['bytes'] / 1e6:.1f} MB.",
        "",
        "    textmill index OUTPUT ANSWERS",
        "",
        "## Figures (per cent)",
        "",
        "| | float | int8 (shipped) |",
        "|---|---|---|",
        *(f"| {TITLES[key]} | {m['float_figures'].get(key, 100.0):.2f} | {value:.2f} |" for key, value in m["figures"].items()),
        "",
        f"{sum(m['asked'].values()):,} questions: {asked}; {m['documents']:,} documents: passages of {beside}.",
        "A document is read up to the window. This is not what `textmill ask` reaches, which also looks for terms, in shorter",
        "passages, and reads what it finds (docs/benchmarks.md).",
        f"`textmill evaluate {m['name']} --data-dir DATA` measures it again.",
        "",
        "## Speed",
        "",
        f"CPU: {m['cpu']}. Medians, from strings to vectors, passages of 250 characters; the machine may have been shared:",
        "",
        "| | before rounding | int8 |",
        "|---|---|---|",
        f"| a question, ms | {before['question_ms']:.1f} | {after['question_ms']:.1f} |",
        f"| passages/s | {before['passages_s']:,.0f} | {after['passages_s']:,.0f} |",
        "",
        "## Quantization",
        "",
        f"Relative error of a layer's output when its input and weights are rounded: {min(errors):.3f} to {max(errors):.3f}.",
        "",
        "## Made of",
        "",
        "all-MiniLM-L6-v2 (Apache-2.0) as its package brings it: nothing was taught here. It was taught elsewhere on pairs of",
        "texts, SQuAD's and Natural Questions' among them, of which some questions above are.",
    ]
    return "\n".join(lines) + "\n"
