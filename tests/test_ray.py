"""The same worker in Ray actors, Ray Data and the examples, each in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.errors import WorkerLostError
from pipeline.run import Options, tag_folder
from pipeline.source.jsonl import Columns

ROOT = Path(__file__).parent.parent


def test_two_actors_give_what_this_process_gives(tmp_path):
    import ray

    summaries = [
        tag_folder(
            Options(ROOT / "examples" / "documents.jsonl", tmp_path / name, Columns(id="id"), "en-fast", "auto", workers, 1)
        )
        for name, workers in (("here", 0), ("ray", 2))
    ]
    assert not ray.is_initialized()
    assert summaries[0].rows_out == summaries[1].rows_out == 330
    here, there = (pq.read_table(tmp_path / name / "tags") for name in ("here", "ray"))
    assert here.equals(there)


def test_a_dead_worker_is_an_error(monkeypatch):
    import os

    import ray

    from pipeline.contract import Block
    from pipeline.fleet import actors

    class Dying:
        def __init__(self, *_: object) -> None: ...

        def tag(self, _: Block) -> None:
            os._exit(1)

    monkeypatch.setattr(actors, "TagWorker", Dying)
    with pytest.raises(WorkerLostError, match="run the command again"):
        list(actors.tag_on_ray([None], "en-fast", "auto", 1, 1, check=lambda: None))
    assert not ray.is_initialized()


@pytest.mark.parametrize(("name", "expected"), [("ray_data.py", "documents, "), ("spacy_docs.py", "('Paris', 'LOC')")])
def test_examples_run(name, expected):
    done = subprocess.run([sys.executable, ROOT / "examples" / name], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
