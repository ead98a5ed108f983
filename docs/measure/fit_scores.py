"""Fit the scores of a shipped tagger to the real posts, without teaching it again: only its manifest and card change.

python docs/measure/fit_scores.py DATA en
"""

import json
import sys
from pathlib import Path

from models.factory.card_examples import example_rows
from models.factory.card_text import card_text
from models.factory.corpora import CORPORA, read
from models.factory.decision import fit_decision
from models.factory.entity_scores import fit_entity_scores, real_entities
from models.factory.evaluate import posts, real_sentiment
from models.factory.files import write_json
from models.factory.languages import language
from models.runtime.load import load_one
from models.runtime.package import MANIFEST, TAGGER, ZOO, open_package


def main(data_dir: Path, name: str) -> None:
    """Fit, write, and measure again."""
    folder = ZOO / name
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest = {key: value for key, value in manifest.items() if key not in ("calibration", "sentiment_bias")}
    write_json(folder / MANIFEST, manifest)
    raw = load_one(name)
    fitted = fit_entity_scores(real_entities(raw, data_dir), 0)
    decided = fit_decision(*real_sentiment(raw, data_dir), 0)
    # Where the factory writes it: before the digests.
    files = manifest.pop("files")
    write_json(
        folder / MANIFEST, {**manifest, "calibration": fitted["weights"], "sentiment_bias": decided["bias"], "files": files}
    )
    tagger, corpus = load_one(name), language(manifest["lang"]).posts
    reached = posts(tagger, read(corpus, data_dir, "dev"), CORPORA[corpus].misc_known)
    figures = {f"real_{key}": round(100 * value, 2) for key, value in reached.items()}
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["figures"] |= figures
    metrics["stages"][f"{name}.quantize"]["figures"] |= figures
    metrics["calibration"] = {**(metrics.get("calibration") or {}), "decision": decided, "entities": fitted}
    metrics["examples"] = example_rows(tagger)
    metrics["digest"] = open_package(folder).digest
    write_json(folder / "metrics.json", metrics)
    everyone = {path.parent.name: json.loads(path.read_text()) for path in sorted(ZOO.glob("*/metrics.json"))}
    everyone = {key: m for key, m in everyone.items() if m["lang"] == manifest["lang"] and m.get("task", TAGGER) == TAGGER}
    for key, one in everyone.items():
        (ZOO / key / "card.md").write_text("\n".join(card_text(one, everyone, {})) + "\n")
    print(name, fitted, decided, figures)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
