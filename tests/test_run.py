"""The main job: nothing vanishes, nothing crashes."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.errors import EngineMissingError
from pipeline.errors import ConfigError, OutputError
from pipeline.run import Options, tag_folder
from pipeline.source import jsonl
from pipeline.source.jsonl import Columns

EXAMPLE = Path(__file__).parent.parent / "examples" / "documents.jsonl"


def run(source, output, **more):
    return tag_folder(Options(source, output, Columns(id="id", keep=("source",)), model="en-fast", threads=1, **more))


def test_example_corpus(tmp_path):
    summary = run(EXAMPLE, tmp_path / "out")
    assert (summary.rows_in, summary.rows_out, summary.dead_letters) == (334, 330, 4)
    rows = pq.read_table(tmp_path / "out" / "tags").to_pylist()
    texts = {}
    for line in EXAMPLE.read_text().splitlines():
        try:
            record = json.loads(line)
            texts[record["id"]] = record["text"]
        except (ValueError, KeyError, TypeError):
            continue
    assert len(rows) == 330
    assert all(texts[r["id"]][e["start"] : e["end"]] == e["text"] for r in rows for e in r["entities"])
    reasons = [d["reason"] for d in pq.read_table(tmp_path / "out" / "dead_letters").to_pylist()]
    assert sorted(reasons) == ["no text", "no text", "not JSON", "not an object"]
    with pytest.raises(OutputError, match="--overwrite"):
        run(EXAMPLE, tmp_path / "out")


def test_truncated_gzip_and_bad_bytes(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    lines = b"".join(json.dumps({"id": str(i), "text": f"in Oslo {i * 7919}"}).encode() + b"\n" for i in range(3000))
    (data / "a.jsonl.gz").write_bytes(gzip.compress(lines)[:-4000])
    (data / "b.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "one"}\n\xff\xfe\n\n{"text": "two"}')
    summary = run(data, tmp_path / "out")
    assert summary.rows_in == summary.rows_out + summary.dead_letters
    dead = {(d["path"], d["reason"]) for d in pq.read_table(tmp_path / "out" / "dead_letters").to_pylist()}
    assert dead == {("a.jsonl.gz", "file unreadable from here"), ("b.jsonl", "not UTF-8")}


def test_a_file_name_that_is_not_utf8(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / os.fsdecode(b"\xff.jsonl")).write_text('{"text": "in Oslo"}\nbroken\n')
    assert run(data, tmp_path / "out").dead_letters == 1


def test_a_line_too_long_takes_no_other_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 40)
    source = tmp_path / "a.jsonl"
    for length in (39, 40, 41, 90):
        source.write_text('{"text": "one"}\n' + '{"text": "'.ljust(length - 2, "x") + '"}\n{"text": "three"}\n')
        summary = run(source, tmp_path / str(length))
        assert (summary.rows_in, summary.rows_out) == (3, 3 if length == 39 else 2), length


def test_a_wrong_engine_leaves_the_old_output(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text('{"text": "in Oslo"}\n')
    run(source, tmp_path / "out")
    with pytest.raises(EngineMissingError, match="no engine"):
        run(source, tmp_path / "out", engine="onnx", overwrite=True)
    assert pq.read_table(tmp_path / "out" / "tags").num_rows == 1


def test_wrong_input(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        run(tmp_path / "absent", tmp_path / "out")


def test_pipeline_imports_no_torch():
    code = "import sys, pipeline.run, jobs.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_spacy_component():
    import spacy

    import models.spacy_component  # noqa: F401

    nlp = spacy.blank("en")
    nlp.add_pipe("textmill", config={"model": "en-fast"})
    doc = nlp("Angela Merkel visited Paris and loved it.")
    assert ("Paris", "LOC") in {(e.text, e.label_) for e in doc.ents}
    assert doc._.sentiment in ("negative", "neutral", "positive")
