"""The example corpus, as `make demo` runs it."""

import json
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from pipeline.config import load_config
from pipeline.report.build import make_report
from pipeline.run.run import tag_documents
from tests.support import ROOT


def test_the_demo(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = load_config(Path("conf/tag.toml"), ["model=en-fast+zh"], {"output": tmp_path / "out"})
    result = tag_documents(config)
    assert (result.rows_in, result.rows_out, result.dead_letters, result.filtered) == (375, 370, 5, 0)
    metrics = json.loads(Path(result.manifest.removesuffix(".json") + ".metrics.json").read_text())
    assert metrics["verdict"]["limits"] in metrics["stages_s"]
    langs = duckdb.sql(f"select lang, count(*) from '{tmp_path}/out/tags/*.parquet' group by 1 order by 1").fetchall()
    assert langs == [("en", 354), ("zh", 16)]
    assert duckdb.sql(f"select min(created_at) is not null from '{tmp_path}/out/tags/*.parquet'").fetchall() == [(True,)]
    assert pq.read_table(tmp_path / "out" / "dead_letters")["reason"].to_pylist().count("bad_csv") == 1
    report = make_report(str(tmp_path / "out"), None, None)
    assert (report.documents, report.dead_letters, report.filtered, report.disagreements) == (370, 5, 0, ())
