"""The main job: nothing vanishes, nothing twice, nothing crashes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ClaimedError, ConfigError, InputChangedError, OutputError, TooManyDeadLettersError
from pipeline.sink.layout import CLAIM
from pipeline.store.claim import holder
from pipeline.store.local import LocalStore
from tests.support.runs import EXAMPLE, rows, run, state, write_lines


def test_example_corpus(tmp_path):
    out = tmp_path / "out"
    result = run(EXAMPLE, out, keep=("lang_hint",), absent_columns="allow")
    assert (result.rows_out, result.dead_letters, result.status) == (330, 4, "finished")
    texts = {}
    for line in EXAMPLE.read_text().splitlines():
        try:
            record = json.loads(line)
            texts[record["id"]] = record["text"]
        except (ValueError, KeyError, TypeError):
            continue
    found = rows(out)
    assert len(found) == 330
    assert all(texts[r["id"]][e["start"] : e["end"]] == e["text"] for r in found for e in r["entities"])
    assert [r["created_at"] for r in found] == sorted(r["created_at"] for r in found)
    reasons = [d["reason"] for d in rows(out, "dead_letters")]
    assert sorted(reasons) == ["no_text", "no_text", "not_an_object", "not_json"]
    manifest = json.loads(Path(result.manifest).read_text())
    assert manifest["rows_out"] == 330
    assert sum(part["rows"] for part in manifest["parts"]) == 330
    assert not (out / "_staging").exists()
    assert holder(LocalStore(out), CLAIM) is None


def test_nothing_to_do_the_second_time_and_new_files_after_that(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    write_lines(data / "a.jsonl", "Ms Keller flew to Oslo.", "Nothing.")
    assert run(data, out).rows_out == 2
    before = state(out)
    assert run(data, out).status == "nothing to do"
    assert state(out) == before
    write_lines(data / "b.jsonl", "Volta Energy is in Cork.")
    assert run(data, out).rows_out == 1
    after = state(out)
    assert {name: after[name] for name in before} == before
    assert sorted(row["id"] for row in rows(out)) == ["a-0", "a-1", "b-0"]
    # The same files by another way to name them are still the same files.
    assert run(data / "b.jsonl", out).status == "nothing to do"


def test_a_changed_file_is_an_error_until_all_is_tagged_anew(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    write_lines(data / "a.jsonl", "one", "two")
    write_lines(data / "bad.jsonl", "three")
    with (data / "bad.jsonl").open("a") as stream:
        stream.write("broken\n")
    run(data, out)
    assert len(rows(out, "dead_letters")) == 1
    write_lines(data / "a.jsonl", "one", "two", "four")
    write_lines(data / "c.jsonl", "five")
    with pytest.raises(InputChangedError, match=r"a\.jsonl: changed"):
        run(data, out)
    assert len(rows(out)) == 4  # c.jsonl is new, and tagged all the same
    write_lines(data / "bad.jsonl", "three")
    assert run(data, out, retag=True).rows_out == 5
    assert len(rows(out)) == 5
    assert rows(out, "dead_letters") == []
    assert run(data, out).status == "nothing to do"
    assert not (out / "_next").exists()


def test_a_planned_file_that_changed_holds_up_no_other(tmp_path, monkeypatch):
    from pipeline.run import run as module

    data, out = tmp_path / "data", tmp_path / "out"
    for name in "abc":
        write_lines(data / f"{name}.jsonl", f"{name} in Oslo")
    drive = module.drive

    def stopped(splits, *rest):
        drive(splits[:1], *rest)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "drive", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(data, out, split_tokens=60, keep_text=True)
    monkeypatch.setattr(module, "drive", drive)
    assert [row["id"] for row in rows(out)] == ["a-0"]
    write_lines(data / "b.jsonl", "b is not what it was")
    write_lines(data / "d.jsonl", "d is new")
    assert run(data, out, split_tokens=60, keep_text=True).rows_out == 3
    assert sorted((row["id"], row["text"]) for row in rows(out) if row["id"] == "b-0") == [("b-0", "b is not what it was")]
    assert sorted(row["id"] for row in rows(out)) == ["a-0", "b-0", "c-0", "d-0"]
    assert rows(out, "dead_letters") == []


def test_a_second_run_at_once_is_told_who_works_there(tmp_path):
    write_lines(tmp_path / "a.jsonl", "in Oslo")
    with LocalStore(tmp_path / "out").claim(CLAIM), pytest.raises(ClaimedError, match=f"process {os.getpid()}"):
        run(tmp_path / "a.jsonl", tmp_path / "out")
    assert run(tmp_path / "a.jsonl", tmp_path / "out").rows_out == 1


def test_other_settings_want_another_output_or_a_retag(tmp_path):
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    write_lines(source, "in Oslo")
    run(source, out)
    with pytest.raises(OutputError, match="keep_text False, not True"):
        run(source, out, keep_text=True)
    assert run(source, out, keep_text=True, retag=True).rows_out == 1
    assert rows(out)[0]["text"] == "in Oslo"


def test_splits_of_any_size_give_the_same_table(tmp_path):
    tables = []
    for tokens in (300, 2000, 1_000_000):
        out = tmp_path / str(tokens)
        result = run(EXAMPLE, out, split_tokens=tokens)
        assert (result.rows_out, result.dead_letters) == (330, 4)
        tables.append(sorted(rows(out), key=lambda row: row["id"]))
        letters = [(d["position"], d["reason"]) for d in rows(out, "dead_letters")]
        assert letters == sorted(letters)
        tables[-1].append(letters)
    assert len(list((tmp_path / "300" / "tags").iterdir())) > 20
    for table in tables[1:]:
        assert table[-1] == tables[0][-1]
        for one, other in zip(tables[0][:-1], table[:-1], strict=True):
            assert [(e["start"], e["label"]) for e in one["entities"]] == [(e["start"], e["label"]) for e in other["entities"]]
            assert one["words"] == other["words"]


def test_too_many_dead_letters_stop_the_run(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text('{"id": 1, "body": "in Oslo"}\n' * 500)
    with pytest.raises(TooManyDeadLettersError, match="text column"):
        run(source, tmp_path / "out", absent_columns="allow")
    few = tmp_path / "few.jsonl"
    few.write_text('{"id": 1, "body": "in Oslo"}\n' * 3)
    with pytest.raises(TooManyDeadLettersError, match="all 3"):
        run(few, tmp_path / "few", absent_columns="allow")


def test_a_document_on_which_the_model_fails_takes_no_other_with_it(tmp_path, monkeypatch):
    from models.runtime.tagger import Tagger

    tag = Tagger.tag

    def failing(self, texts, check=None):
        if any("poison" in text for text in texts):
            raise FloatingPointError("scores that are no numbers")
        return tag(self, texts, check)

    monkeypatch.setattr(Tagger, "tag", failing)
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    write_lines(source, *[f"Document {i} from Oslo." for i in range(20)], "poison", "We met in <i>nice</i> <b>Cork.")
    result = run(source, out, clean="html", min_score=0.0)
    assert (result.rows_out, result.dead_letters) == (21, 1)
    assert {row["id"]: [e["text"] for e in row["entities"]] for row in rows(out)}["a-21"] == ["Cork"]
    (letter,) = rows(out, "dead_letters")
    assert (letter["id"], letter["reason"]) == ("a-20", "tagger_failed")
    assert letter["raw"] == source.read_bytes().splitlines(True)[20]


def test_a_model_that_fails_on_everything_is_no_dead_letter(tmp_path, monkeypatch, caplog):
    from models.runtime.tagger import Tagger
    from pipeline.errors import TaggerBrokenError

    def failing(self, texts, check=None):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Tagger, "tag", failing)
    write_lines(tmp_path / "a.jsonl", "one")
    with pytest.raises(TaggerBrokenError, match="a bug"):
        run(tmp_path / "a.jsonl", tmp_path / "out")
    assert rows(tmp_path / "out") == []
    assert "RuntimeError: a bug" in caplog.text  # the traceback is kept


def test_wrong_input_leaves_no_output(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        run(tmp_path / "absent", tmp_path / "out")
    write_lines(tmp_path / "a.jsonl", "in Oslo")
    with pytest.raises(ConfigError, match="engine"):
        run(tmp_path / "a.jsonl", tmp_path / "out", engine="onnx")
    with pytest.raises(ConfigError, match="inside the input"):
        run(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "other" / "tags").mkdir(parents=True)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other" / "tags" / "a.parquet")
    with pytest.raises(OutputError, match="no output of textmill"):
        run(tmp_path / "a.jsonl", tmp_path / "other")


def test_an_empty_input_is_a_finished_run(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").touch()
    (tmp_path / "data" / "b.jsonl.tmp").write_text("{}")
    result = run(tmp_path / "data", tmp_path / "out")
    assert (result.rows_out, result.status, result.skipped) == (0, "finished", {"empty": 1, "unfinished": 1})


def test_pipeline_imports_no_torch():
    code = "import sys, pipeline.run.run, jobs.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_spacy_component():
    import spacy

    import models.spacy_component  # noqa: F401

    nlp = spacy.blank("en")
    nlp.add_pipe("textmill", config={"model": "en-fast"})
    doc = nlp("Angela Merkel visited Paris and loved it.")
    assert ("Paris", "LOC") in {(e.text, e.label_) for e in doc.ents}
    assert doc._.sentiment in ("negative", "neutral", "positive")


def test_what_is_left_out_shows_the_bytes_of_the_file(tmp_path):
    """Whatever they are: half of a pair of surrogates, another encoding, a record of many lines; of a table the text."""
    half, many = (
        rb'{"id": "a", "text": "\ud83d \u5317\u4eac"}',
        b'{\n "id": "c",\n "text": "\xed\xa0\xbd \xe5\x8c\x97\xe4\xba\xac"\n}',
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(half + b"\n")
    (tmp_path / "in" / "b.csv").write_bytes("id,text\nb,李雷昨天在上海见了韩梅梅，他们一起吃了晚饭。\n".encode("gb18030"))
    (tmp_path / "in" / "c.json").write_bytes(b"[" + many + b"]")
    pq.write_table(pa.table({"id": ["d"], "text": ["北京"]}), tmp_path / "in" / "d.parquet")
    run(tmp_path / "in", tmp_path / "out")
    found = {one["id"]: one["raw"] for one in rows(tmp_path / "out", "filtered")}
    assert found["a"] == half + b"\n"
    assert found["b"].decode("gb18030") == "b,李雷昨天在上海见了韩梅梅，他们一起吃了晚饭。\n"
    assert found["c"] == many
    assert found["d"].decode() == "北京"


def test_texts_that_no_model_can_read_are_filtered(tmp_path):
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    write_lines(source, "Ms Keller flew to Oslo.", "北京市政府宣布", "", "Ms Keller flew to Oslo.")
    result = run(source, out)
    assert (result.rows_in, result.rows_out, result.filtered, result.dead_letters) == (4, 3, 1, 0)
    (one,) = rows(out, "filtered")
    assert (one["id"], one["reason"]) == ("a-1", "no_model_for_language")
    assert one["raw"] == source.read_bytes().splitlines(True)[1]
    record = json.loads((out / "_plans" / "plan-000001.done.json").read_text())
    assert record["counts"]["reused_texts"] == 1
    both = run(source, tmp_path / "all", languages="all")
    assert (both.rows_out, both.filtered) == (4, 0)


def test_markup_is_cleaned_where_it_is_asked_for(tmp_path):
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    text = "<p>Ms <b>Keller</b> flew to <i>Oslo</i>.</p>"
    write_lines(source, text)
    run(source, out, clean="html", keep_text=True)
    (row,) = rows(out)
    assert row["text"] == text
    assert "Oslo" in {e["text"] for e in row["entities"]}
    assert all(text[e["start"] : e["end"]] == e["text"] for e in row["entities"])


def test_any_tool_reads_the_output(tmp_path):
    import duckdb

    write_lines(tmp_path / "dt=2026-11-22" / "a.jsonl", "Ms Keller flew to Oslo.")
    run(tmp_path / "dt=2026-11-22", tmp_path / "one")
    run(tmp_path / "dt=2026-11-22" / ".." / "dt=2026-11-22" / "a.jsonl", tmp_path / "two")
    (tmp_path / "in" / "dt=2026-11-23").mkdir(parents=True)
    (tmp_path / "dt=2026-11-22").rename(tmp_path / "in" / "dt=2026-11-22")
    write_lines(tmp_path / "in" / "dt=2026-11-23" / "a.jsonl", "Volta Energy is in Cork.")
    run(tmp_path / "in", tmp_path / "out")
    assert duckdb.sql(f"select dt from '{tmp_path}/out/tags/*.parquet' order by dt").fetchall() == [
        ("2026-11-22",),
        ("2026-11-23",),
    ]
    frame = pq.read_table(tmp_path / "out" / "tags").to_pandas()
    assert {entity["text"] for row in frame["entities"] for entity in row} >= {"Oslo", "Cork"}


def test_small_files_are_tagged_together(tmp_path, monkeypatch):
    from models.runtime.tagger import Tagger

    tag, asked = Tagger.tag, []

    def counted(self, texts, check=None):
        asked.append(len(texts))
        return tag(self, texts, check)

    monkeypatch.setattr(Tagger, "tag", counted)
    for i in range(300):
        write_lines(tmp_path / "in" / f"{i:03d}.jsonl", f"Document {i} from Oslo.")
    (tmp_path / "in" / "150.jsonl").write_text("broken\n")
    result = run(tmp_path / "in", tmp_path / "out")
    assert (result.rows_out, result.dead_letters, result.parts) == (299, 1, 1)
    assert asked == [299]
    assert rows(tmp_path / "out", "dead_letters")[0]["path"] == "150.jsonl"
