"""textmill models"""

from __future__ import annotations

import json


def list_models() -> None:
    """List the installed models with their figures."""
    from rich.console import Console
    from rich.table import Table

    from models.runtime.package import ZOO, installed

    table = Table("model", "language", "MB", "entities F1", "sst2", "semeval recall", "UPOS", "speed", "what it is")
    for name in installed():
        m = json.loads((ZOO / name / "metrics.json").read_text())
        f = m["figures"]
        keys = ("conll2003_f1", "sst2_accuracy", "semeval2017_recall", "ewt_upos")
        figures = [f"{f[key]:.1f}" for key in keys]
        table.add_row(name, m["lang"], f"{m['bytes'] / 1e6:.1f}", *figures, f"{m['speed']['engine_ratio']:.1f}x", m["summary"])
    Console().print(table, "speed: of the engine, fp32 MiniLM-L6 in torch = 1; see each model's card.md", sep="\n")
