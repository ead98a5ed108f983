"""Tag a Ray Data dataset: python examples/ray_data.py   (extra: ray)."""

from pathlib import Path

import ray

from models.ray_data import TextmillTagger

DOCUMENTS = Path(__file__).with_name("documents") / "posts.jsonl"


def main() -> None:
    """Tag the lines of the example corpus that are text, with one actor; a CPU stays free for the reads."""
    import json

    texts = []
    for line in DOCUMENTS.read_text(encoding="utf-8").splitlines()[:64]:
        try:
            texts.append(str(json.loads(line)["text"]))
        except (ValueError, KeyError, TypeError):
            continue
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    dataset = ray.data.from_items([{"text": text} for text in texts])
    tagged = dataset.map_batches(
        TextmillTagger,
        fn_constructor_kwargs={"model": "en-fast", "threads": 1},
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
    )
    found = tagged.take_all()
    print(f"{len(found)} documents, {sum(len(row['entities']) for row in found)} entities")
    ray.shutdown()


if __name__ == "__main__":
    main()
