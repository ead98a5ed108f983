"""A run from HDFS to HDFS beside the same run on local files. Slow.

TEXTMILL_SCALE_MB says how much text (6, full 1000), TEXTMILL_SCALE_ROUNDS how often each is run (3), TEXTMILL_SCALE_CACHE_MB how
much memory there is for texts that come again (0: each is computed, and 1 GB takes an hour a run). Posts are drawn by chance, so
that with memory for half of them about half are computed.
"""

import gzip
import json
import os
import random
import statistics
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.config import load_config
from pipeline.run.run import tag_documents
from tests.scale.sizes import size
from tests.support.remote import Place

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(0)]
MB, ROUNDS = size("TEXTMILL_SCALE_MB", 6, 1000), size("TEXTMILL_SCALE_ROUNDS", 3, 3)
FILE_BYTES = 64 << 20
# The target is of a large input: a small run is start and end for a tenth of its time (docs/benchmarks.md).
TARGET = 0.95 if MB >= 1000 else 0.75
CACHE_MB = os.environ.get("TEXTMILL_SCALE_CACHE_MB", "0")


def documents(target):
    """Real forum posts, drawn again and again with other ids, until there are so many bytes."""
    folder = Path(os.environ.get("TEXTMILL_DATA", "")) / "corpora" / "reddit"
    if not os.environ.get("TEXTMILL_DATA") or not folder.is_dir():
        pytest.skip("TEXTMILL_DATA is not set, or holds no corpora/reddit")
    posts = []
    for path in sorted(folder.rglob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            posts += map(json.loads, stream)
    rng, made_bytes, number = random.Random(1), 0, 0
    while made_bytes < target:
        record, number = rng.choice(posts), number + 1
        made = json.dumps({"id": f"{number}-{record['id']}", "text": record["text"]}).encode() + b"\n"
        made_bytes += len(made)
        yield made


def metrics_of(result, place):
    path = result.manifest.replace(".json", ".metrics.json")
    if path.startswith(place.url):
        with place.store.open_read(path.removeprefix(f"{place.url}/")) as stream:
            return json.load(stream)
    return json.loads(Path(path).read_text())


def test_hdfs_to_hdfs_beside_local_files(hdfs, tmp_path):
    place = Place(f"{hdfs.url}/scale/{uuid4().hex[:8]}", hdfs.config())
    held, number, data = 0, 0, []

    def flush():
        nonlocal held, number, data
        if not data:
            return
        place.put(f"in/{number:04d}.jsonl", b"".join(data))
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{number:04d}.jsonl").write_bytes(b"".join(data))
        held, number, data = 0, number + 1, []

    target = MB * 1_000_000
    for line in documents(target):
        data.append(line)
        held += len(line)
        if held >= FILE_BYTES:
            flush()
    flush()
    speeds, hits = {"local": [], "hdfs": []}, []
    settings = ["model=en-fast", "id_column=id", f"split_tokens={min(1_000_000, target // 30)}", f"cache.local_mb={CACHE_MB}"]
    for turn in range(ROUNDS):
        for where in ("local", "hdfs") if turn % 2 else ("hdfs", "local"):
            if where == "local":
                given = {"sources": [str(tmp_path / "in")], "output": tmp_path / f"out{turn}"}
            else:
                given = {"sources": [f"{place.url}/in"], "output": f"{place.url}/out{turn}", "store": place.config.model_dump()}
            result = tag_documents(load_config(None, settings, given))
            speeds[where].append(result.tokens_s)
            hits.append(metrics_of(result, place)["cache"].get("hit_rate", 0.0))
            assert result.status == "finished"
    middle = {where: statistics.median(found) for where, found in speeds.items()}
    print(f"{target / 1e6:,.0f} MB: {middle}, HDFS / local {middle['hdfs'] / middle['local']:.3f}; {speeds}; hits {hits}")
    place.store.delete("")
    assert middle["hdfs"] >= TARGET * middle["local"]
