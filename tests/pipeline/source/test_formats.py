"""The table of formats is what the README says, and what plans remember of how files are read."""

import json
from dataclasses import asdict

import pyarrow.parquet as pq
import pytest

from pipeline.config import load_config
from pipeline.contract import DocumentSpec, TextOptions
from pipeline.errors import ConfigError, OutputError
from pipeline.run.planning import columns_of
from pipeline.run.verify import verify
from pipeline.sink.plan_log import decode_head
from pipeline.sink.plans import PlanLog
from pipeline.source.formats import FORMATS, SUFFIXES, format_of, with_formats
from pipeline.store.local import LocalStore
from tests.support import ROOT
from tests.support.runs import rows, run, write_lines


def test_the_readme_has_the_table_of_formats():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_formats(readme) == readme, "run python -m pipeline.source.formats"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_is_known_packed_and_in_any_case(suffix):
    name = format_of(f"folder.d/a{suffix}")
    assert name in FORMATS
    assert format_of(f"A{suffix.upper()}.ZST") == format_of(f"a{suffix}.gzip") == name
    assert format_of(f"a{suffix}.pdf") is None


def test_a_plan_remembers_how_files_are_read(tmp_path):
    (tmp_path / "in.csv").write_bytes("1;王小明上周去了成都。\n".encode("gbk") * 400)
    given = {"encoding": "gbk", "column_names": ("id", "text"), "split_tokens": 500}
    run(tmp_path / "in.csv", tmp_path / "out", **given)
    log = PlanLog(LocalStore(tmp_path / "out"))
    log.look()
    plan = log.plan(1)
    assert columns_of(plan).reading == TextOptions("gbk", "auto", '"', "auto", ("id", "text"), "\\N")
    assert {piece.encoding for split in plan.splits for piece in split.fragments} == {"gb18030"}
    assert len(rows(tmp_path / "out", "filtered")) == 400  # no model of English reads them
    assert verify(str(tmp_path / "out")).status == "agrees"
    with pytest.raises(OutputError, match="tagged with encoding 'gbk', not 'big5'"):
        run(tmp_path / "in.csv", tmp_path / "out", **{**given, "encoding": "big5"})


def test_outputs_of_before_are_finished_and_go_on(tmp_path):
    """Their plans have neither the settings of reading nor the column of encodings."""
    write_lines(tmp_path / "in" / "a.jsonl", "Ms Keller flew to Oslo.", "Volta Energy is in Cork.")
    out = tmp_path / "out"
    run(tmp_path / "in", out)
    (plan,) = (out / "_plans").glob("plan-000001.parquet")
    table = pq.read_table(plan)
    head = json.loads(table.schema.metadata[b"textmill.plan"])
    del head["settings"]["columns"]["reading"]
    table = table.drop_columns(["encoding"]).replace_schema_metadata({"textmill.plan": json.dumps(head)})
    pq.write_table(table, plan)
    assert columns_of(decode_head(plan.read_bytes(), "plan")).reading == TextOptions()
    (out / "_plans" / "plan-000001.done.json").unlink()
    for part in (out / "tags").glob("*.parquet"):
        part.unlink()
    run(tmp_path / "in", out)
    assert len(rows(out)) == 2
    write_lines(tmp_path / "in" / "b.jsonl", "In Lyon.")
    run(tmp_path / "in", out)
    assert (len(rows(out)), verify(str(out)).status) == (3, "agrees")
    with pytest.raises(OutputError, match="tagged with encoding 'auto', not 'big5'"):
        run(tmp_path / "in", out, encoding="big5")


def test_settings_of_reading_that_cannot_be():
    base = {"sources": ["in"], "output": "out"}
    for wrong in ({"delimiter": ""}, {"delimiter": "ab"}, {"quote": "ab"}, {"delimiter": ",", "quote": ","}, {"format": "xml"},
                  {"column_names": ["a", "a"]}):  # fmt: skip
        with pytest.raises(ConfigError):
            load_config(None, (), {**base, **wrong})
    assert load_config(None, (), {**base, "delimiter": "\\t"}).columns.reading.delimiter == "\t"
    assert asdict(DocumentSpec())["reading"]["encoding"] == "marks"
