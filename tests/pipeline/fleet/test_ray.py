"""The same worker in Ray actors, Ray Data and the examples, each in a process of its own."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from urllib.request import urlopen

import pyarrow.parquet as pq
import pytest

from pipeline.config import load_config
from pipeline.run.run import tag_documents
from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "documents" / "posts.jsonl"


def test_two_actors_give_what_this_process_gives(tmp_path):
    import ray

    sets = ["model=en-fast", "threads=1", "split_tokens=4000", "id_column=id"]
    results = [
        tag_documents(load_config(None, [*sets, f"workers={workers}"], {"sources": [str(EXAMPLE)], "output": tmp_path / name}))
        for name, workers in (("here", 0), ("ray", 2))
    ]
    assert not ray.is_initialized()
    assert [result.rows_out for result in results] == [330, 330]
    assert results[1].parts > 2
    here, there = (pq.read_table(tmp_path / name / "tags").sort_by("id") for name in ("here", "ray"))
    assert here.equals(there)


def test_a_run_with_a_server_gives_the_same_tags(tmp_path):
    sets = ["model=en-fast", "threads=1", "split_tokens=4000", "id_column=id"]
    for name, more in (("here", []), ("served", ["workers=1", "servers=1"])):
        given = {"sources": [str(EXAMPLE)], "output": tmp_path / name}
        assert tag_documents(load_config(None, [*sets, *more], given)).rows_out == 330
    here, served = (pq.read_table(tmp_path / name / "tags").sort_by("id") for name in ("here", "served"))
    for column in ("id", "sentiment"):
        assert here[column].equals(served[column])
    words = [[word for row in table["words"].to_pylist() for word in row] for table in (here, served)]
    assert [(one["start"], one["end"]) for one in words[0]] == [(one["start"], one["end"]) for one in words[1]]
    # A server answers in float16: where two parts of speech are as good as equal, it may choose the other.
    assert sum(mine["pos"] != theirs["pos"] for mine, theirs in zip(*words, strict=True)) <= len(words[0]) / 1000
    for mine, theirs in zip(here["entities"].to_pylist(), served["entities"].to_pylist(), strict=True):
        assert [(e["start"], e["end"], e["label"]) for e in mine] == [(e["start"], e["end"], e["label"]) for e in theirs]


# Stands in the worker's own process and in those that it starts: the model's code dies over one text, as a fault in native
# code would.
DEADLY = """
import os
from models.runtime.tagger import Tagger
tag = Tagger.tag
def deadly(self, texts, check=None):
    if any("poison" in text for text in texts):
        os._exit(11)
    return tag(self, texts, check)
Tagger.tag = deadly
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_document_that_kills_the_worker_takes_no_other_with_it(tmp_path, workers):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DEADLY)
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    texts = [*(f"Document {i} from Oslo." for i in range(20)), "poison", "Cork."]
    source.write_text("".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(texts)))
    command = [sys.executable, "-m", "jobs", "tag", str(source), str(out), "--model", "en-fast", "--id-column", "id"]
    command += ["--threads", "1", "--workers", str(workers)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}
    if not workers:  # this process dies; the next run knows over what
        assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 11
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert pq.read_table(out / "tags").num_rows == 21
    (letter,) = pq.read_table(out / "dead_letters").to_pylist()
    assert (letter["id"], letter["reason"], json.loads(letter["raw"])["text"]) == ("20", "tagger_failed", "poison")


@pytest.mark.parametrize(("name", "expected"), [("ray_data.py", "documents, "), ("spacy_docs.py", "('Paris', 'LOC')")])
def test_examples_run(name, expected):
    done = subprocess.run([sys.executable, ROOT / "examples" / name], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_figures_of_a_run_reach_prometheus(tmp_path):
    """Ray's agent on the node serves the gauges of the driver."""
    import ray

    from pipeline.observe.ray_gauges import RayGauges

    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        RayGauges("a-run").show({"workers": 3, "tokens_s": 4567.0, "limits": "model"})
        port = ray.nodes()[0]["MetricsExportPort"]
        wanted = {"ray_textmill_workers{": " 3.0", "ray_textmill_tokens_s{": " 4567.0"}
        until, found = time.monotonic() + 60, ""
        while not all(name in found for name in wanted):
            assert time.monotonic() < until, found[:2000]
            time.sleep(0.5)
            with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                found = answer.read().decode()
        for name, value in wanted.items():
            (line,) = [line for line in found.splitlines() if line.startswith(name)]
            assert line.endswith(value)
            assert 'run="a-run"' in line
    finally:
        ray.shutdown()
