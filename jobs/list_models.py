"""textmill models."""

from __future__ import annotations

import json

# The figures that are shown of a model: key in its metrics -> what it is.
FIGURES = {
    "en": {"conll2003_f1": "conll2003 F1", "sst2_accuracy": "sst2", "semeval2017_recall": "semeval recall", "ewt_upos": "UPOS"},
    "zh": {"msra_f1": "msra F1", "chnsenticorp_accuracy": "chnsenticorp", "smp2020_recall": "smp recall",
           "gsdsimp_words_f1": "words F1"},
}  # fmt: skip


def list_models() -> None:
    """List the installed models with their quality and speed."""
    from rich.console import Console
    from rich.table import Table

    from models.runtime.package import AUTO, EMBEDDER, READER, ZOO, installed

    table = Table("model", "language", "MB", "figures on dev splits", "speed", "what it is")
    for name in installed():
        m = json.loads((ZOO / name / "metrics.json").read_text())
        figures = "\n".join(f"{title} {m['figures'][key]:.1f}" for key, title in FIGURES[m["lang"]].items())
        speed = f"{m['speed']['engine_ratio']:.1f}x {m['speed'].get('reference', 'MiniLM-L6')}"
        table.add_row(name, m["lang"], f"{m['bytes'] / 1e6:.1f}", figures, speed, m["summary"])
    for name in installed(READER):
        m = json.loads((ZOO / name / "metrics.json").read_text())
        figures = "\n".join(f"{key.replace('_', ' ')} {value:.1f}" for key, value in m["figures"].items() if key.endswith("_f1"))
        table.add_row(name, m["lang"], f"{m['bytes'] / 1e6:.1f}", figures, f"{m['ms']['10']:.0f} ms, 10 passages", m["summary"])
    for name in installed(EMBEDDER):
        m = json.loads((ZOO / name / "metrics.json").read_text())
        figures = f"among the 5 nearest {m['figures']['r_at_5']:.1f}"
        table.add_row(
            name, m["lang"], f"{m['bytes'] / 1e6:.1f}", figures, f"{m['speed']['question_ms']:.0f} ms a question", m["summary"]
        )
    notes = (
        f"auto: each text is tagged by the model of its language ({', '.join(AUTO)})",
        "speed: the engine's speed over that of the named fp32 encoder in torch; see each model's card.md",
    )
    Console().print(table, *notes, sep="\n")
