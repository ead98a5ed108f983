"""The fleet beside plain processes and beside Ray Data, on the same texts and with the same Tagger.

Each way runs in a process of its own, in turn; figures are medians of several rounds.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from pipeline.contract import DocumentSpec, Split
from pipeline.errors import ConfigError
from pipeline.source.discover import discover
from pipeline.source.splitting import fragments, pack

WAYS = ("fleet", "plain", "ray-data", "ray-data-tuned")
# Hand-tuned for mixed lengths: batches large enough that the Tagger sorts well, small enough that both actors end together.
TUNED_ROWS = 512


def measure(source: Path, model: str, workers: int, split_tokens: int, rounds: int) -> dict[str, Any]:
    """Time every way of tagging a folder, each in a process of its own, and compare the medians.

    Args:
        source: Folder of JSON lines; folders below it are not looked into.
        model: Name of a model.
        workers: Workers of each way, one thread each.
        split_tokens: Predicted tokens of one split, for the fleet and for plain processes.
        rounds: How often each way is timed; the order changes from round to round, so that warm caches do not always help the
            same.

    Returns:
        `medians`: for each way, `seconds` of the whole process as whoever types the command has them (with imports, and the
        start and end of Ray), the number of `rows` tagged and, except for Ray Data, `start_s` and `work_s` in seconds.
        `of_plain_processes`: work time of plain processes over that of the fleet. `times_ray_data` and `times_ray_data_tuned`:
        seconds of Ray Data over those of the fleet.

    Raises:
        ConfigError: The folder holds no JSON lines.
    """
    _files(source)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for number in range(rounds):
        # In turn, and each round in another order: what one leaves in the caches shall not always help the same.
        for way in (*WAYS[number % len(WAYS) :], *WAYS[: number % len(WAYS)]):
            command = [sys.executable, "-m", "pipeline.run.fleet_bench", way, str(source), model, str(workers), str(split_tokens)]
            began = time.monotonic()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[way].append({"seconds": time.monotonic() - began, **json.loads(done.stdout.splitlines()[-1])})
    medians = {
        way: {key: round(statistics.median(one[key] for one in each), 2) for key in each[0]} for way, each in found.items()
    }
    return {
        "medians": medians,
        "of_plain_processes": round(medians["plain"]["work_s"] / medians["fleet"]["work_s"], 3),
        "times_ray_data": round(medians["ray-data"]["seconds"] / medians["fleet"]["seconds"], 3),
        "times_ray_data_tuned": round(medians["ray-data-tuned"]["seconds"] / medians["fleet"]["seconds"], 3),
    }


def _files(source: Path) -> list[str]:
    found = [str(path) for path in sorted(source.glob("*.jsonl*"))]
    if not found:
        raise ConfigError(f"{source} holds no *.jsonl or *.jsonl.gz; folders below it are not looked into")
    return found


def _fleet(source: Path, model: str, workers: int, split_tokens: int, output: Path) -> dict[str, float]:
    from pipeline.config import TagConfig
    from pipeline.run.run import tag_documents

    began = time.monotonic()
    options = TagConfig(
        sources=(str(source),), output=str(output), model=model, workers=workers, threads=1, split_tokens=split_tokens
    )  # fmt: skip
    result = tag_documents(options)
    seconds = time.monotonic() - began
    metrics = json.loads(Path(result.manifest.replace(".json", ".metrics.json")).read_text())
    return {"start_s": metrics["start_s"], "work_s": seconds - metrics["start_s"], "rows": result.rows_out}


def _plain(source: Path, model: str, workers: int, split_tokens: int, output: Path) -> dict[str, float]:
    """As many processes, each with its share of the same splits, dealt out by size; nothing between them."""
    found = discover([str(source)])
    pieces = (piece for entry in found.files for piece in fragments(found.store, entry, split_tokens))
    splits = sorted(pack(pieces, 1, split_tokens), key=lambda split: -split.tokens)
    shares: list[list[Split]] = [[] for _ in range(workers)]
    for split in splits:
        min(shares, key=lambda share: sum(one.tokens for one in share)).append(split)
    context = get_context("spawn")
    barrier = context.Barrier(workers + 1)
    began = time.monotonic()
    processes = [context.Process(target=_share, args=(found.store.url, output, model, share, barrier)) for share in shares]
    for process in processes:
        process.start()
    barrier.wait()
    up = time.monotonic()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    ended = time.monotonic()
    return {"start_s": up - began, "work_s": ended - up, "rows": _rows(output)}


def _share(root: str, output: Path, model: str, splits: Sequence[Split], barrier: Barrier) -> None:
    from pipeline.worker.worker import TagWorker, WorkerSpec

    worker = TagWorker(WorkerSpec(root, str(output), DocumentSpec(), model, "auto", 1, "bench", "", {}))
    barrier.wait()
    for split in splits:
        worker.run(split)


def _ray_data(source: Path, model: str, workers: int, output: Path, tuned: bool) -> dict[str, float]:
    import ray

    from models.ray_data import TextmillTagger

    # One CPU more than workers, for the reads.
    ray.init(num_cpus=workers + 1, include_dashboard=False, log_to_driver=False)
    dataset = ray.data.read_json(_files(source))
    how: dict[str, Any] = {"batch_size": TUNED_ROWS} if tuned else {}
    if tuned:
        dataset = dataset.repartition(target_num_rows_per_block=TUNED_ROWS)
    tagged = dataset.map_batches(
        TextmillTagger,
        fn_constructor_kwargs={"model": model, "threads": 1},
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers),
        **how,
    )
    tagged.write_parquet(str(output / "tags"))
    ray.shutdown()
    return {"rows": _rows(output)}


def _rows(output: Path) -> float:
    import pyarrow.dataset as ds

    return float(ds.dataset(output / "tags", format="parquet").count_rows())


def main(way: str, source: str, model: str, workers: str, split_tokens: str) -> None:
    """Run one way once and print its figures as JSON; this is the process that `measure` starts.

    Args:
        way: One of WAYS.
        source: Folder of JSON lines.
        model: Name of a model.
        workers: Number of workers, in digits.
        split_tokens: Predicted tokens of one split, in digits.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        if way in ("fleet", "plain"):
            run = _fleet if way == "fleet" else _plain
            figures = run(Path(source), model, int(workers), int(split_tokens), output)
        else:
            figures = _ray_data(Path(source), model, int(workers), output, way == "ray-data-tuned")
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
