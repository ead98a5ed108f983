"""Runs of `textmill tag` in this process, and what they leave."""

import json

import pyarrow.parquet as pq

from pipeline.config import load_config
from pipeline.run.run import tag_documents
from pipeline.sink.layout import CLAIM
from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "documents" / "posts.jsonl"


def run(source, output, **more):
    given = {"id_column": "id", "model": "en-fast", "threads": 1, **more}
    return tag_documents(load_config(None, (), {"sources": [str(source)], "output": output, **given}))


def rows(output, kind="tags"):
    folder = output / kind
    return pq.read_table(folder).to_pylist() if folder.is_dir() else []


def state(output):
    """Every file of an output, with its bytes; but for the claim, which every run counts up."""
    files = {p.relative_to(output).as_posix(): p for p in output.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(f"{CLAIM}/")}


def write_lines(path, *texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"id": f"{path.stem}-{i}", "text": text}) + "\n" for i, text in enumerate(texts)))
