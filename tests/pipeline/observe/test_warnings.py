"""Runs that look right and are not: each kind is said, with counts and with the setting that would help."""

import gzip
import json
import re
from dataclasses import fields

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from jobs.cli import main
from pipeline.errors import ConfigError
from pipeline.observe.doctor import run_checks
from pipeline.observe.warnings import RULES, RunFacts, in_words, warnings_of
from pipeline.report.build import make_report
from pipeline.run.verify import verify
from pipeline.store.local import LocalStore
from tests.support.runs import rows, run

GOOD = {"files": 3, "rows_in": 100, "rows_out": 90, "filtered": 10, "id_column": "id"}
# For each rule: facts by which it speaks, and something that it says.
DOUBTFUL = {
    "no_files": ({"files": 0, "skipped": {"empty": 2}, "examples": {"empty": ["a.csv"]}}, r"left alone: 2 empty \(a.csv\)"),
    "other_formats": ({"skipped": {"other format": 4}, "examples": {"other format": ["a.pdf"]}}, r"4 files .* \(a.pdf\)"),
    "odd_files": ({"skipped": {"no regular file": 1, "link to nothing": 1}}, "2 names"),
    "lacking_columns": ({"looked_into": 3, "lacking": {"id": ["b.csv"], "k": []}}, r"'id' is not in 1 of 3 .* \(b.csv\)"),
    "filtered": (
        {"filtered": 60, "counts": {"filtered_zh": 50, "filtered_ko": 10}},
        r"60 of 100 .*\(zh 50, ko 10\); --model auto",
    ),
    "undecodable": ({"counts": {"characters": 1000, "undecodable_characters": 500}}, "500 of 1,000 characters"),
    "blank_texts": ({"counts": {"blank_texts": 70}}, "70 of 100 texts.*--text-column"),
    "no_ids": ({"counts": {"made_ids": 100}}, "100 of 100 documents have no 'id'.*--id-column"),
    "equal_ids": ({"counts": {"equal_ids": 45}}, "45 of 90 documents share one id"),
    "unreadable_times": ({"counts": {"unreadable_times": 30, "null_times": 30}}, "30 of 100 .*--time-column"),
    "no_times": ({"counts": {"null_times": 90}, "time_asked": True}, "no document has a time in .*--time-column"),
    "unlikely_times": ({"counts": {"unlikely_times": 80}}, "80 of 90 documents have a time before 1990"),
}


def test_every_rule_speaks_of_its_own_kind_and_of_no_other():
    assert [rule.code for rule in RULES] == list(DOUBTFUL)
    assert not warnings_of(RunFacts(**GOOD))
    for code, (facts, says) in DOUBTFUL.items():
        (found,) = warnings_of(RunFacts(**GOOD | facts))
        assert found.code == code
        assert re.search(says, str(found)), str(found)
        assert found.remedy


@pytest.mark.parametrize("code", DOUBTFUL)
def test_a_few_do_not_make_a_run_doubtful(code):
    """Half a percent of what a rule looks at; rules whose every case counts are left out."""
    if code in ("no_files", "odd_files", "lacking_columns"):
        return
    facts = DOUBTFUL[code][0]
    whole = RunFacts(**GOOD | facts)
    few = {key: 1 for key in whole.counts if key != "characters"} | {"characters": 1000}
    skipped = dict.fromkeys(whole.skipped, 1)
    assert not warnings_of(RunFacts(**GOOD | {"counts": few, "skipped": skipped, "filtered": 1, "files": 200}))


def test_facts_without_anything_are_told():
    assert {field.name for field in fields(RunFacts)} >= set(GOOD)
    assert [one.code for one in warnings_of(RunFacts())] == ["no_files"]


def lines(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")


ZH = "李雷昨天在上海见了韩梅梅。"


@pytest.mark.slow
def test_what_is_doubtful_is_said_everywhere(tmp_path, capsys):
    lines(tmp_path / "in" / "a.jsonl", *({"id": "same", "text": ZH, "created_at": "soon"} for _ in range(3)))
    result = run(tmp_path / "in", tmp_path / "out")
    assert [one["code"] for one in result.warnings] == ["filtered", "unreadable_times"]
    err = capsys.readouterr().err
    assert "3 of 3 documents are filtered: en-fast does not read their language (zh 3); --model auto" in err
    main_ends(["status", str(tmp_path / "out")])
    assert "--model auto" in capsys.readouterr().out
    assert any(check.well is None and "--model auto" in check.text for check in run_checks(str(tmp_path / "out")))
    make_report(str(tmp_path / "out"), None, None)
    html = "".join(path.read_text() for path in (tmp_path / "out").rglob("index.html"))
    assert "--model auto" in html


def main_ends(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code in (0, None)


def test_what_rows_come_to(tmp_path):
    texts = ["\ufffd\ufffd\ufffd\ufffd of", " ", "in Oslo"]
    lines(tmp_path / "a.jsonl", *({"id": "0", "text": texts[i % 3], "created_at": "1970-01-02"} for i in range(60)))
    codes = [one["code"] for one in run(tmp_path / "a.jsonl", tmp_path / "out").warnings]
    assert codes == ["undecodable", "equal_ids", "unlikely_times"]
    lines(tmp_path / "b.jsonl", {"id": None, "text": " "}, {"id": "", "text": ""})
    codes = [one["code"] for one in run(tmp_path / "b.jsonl", tmp_path / "other").warnings]
    assert codes == ["blank_texts", "no_ids"]


def test_times_that_are_not_there_are_told_of_where_they_were_asked_for(tmp_path):
    lines(tmp_path / "a.jsonl", *({"id": str(i), "text": f"Oslo {i}"} for i in range(60)))
    assert run(tmp_path / "a.jsonl", tmp_path / "out").warnings == []
    lines(tmp_path / "b.jsonl", *({"id": str(i), "text": f"Oslo {i}", "at": None} for i in range(60)))
    (one,) = run(tmp_path / "b.jsonl", tmp_path / "other", time_column="at").warnings
    assert in_words(one) == "no document has a time in 'at'; --time-column names another column"


def test_what_is_unusual_of_files_is_said_before_they_are_tagged(tmp_path, capsys):
    chinese = "id,text\n" + "".join(f"{i},李雷昨天在上海见了韩梅梅，他们一起吃了晚饭。\n" for i in range(5))
    (tmp_path / "in").mkdir()
    for i in range(3):
        (tmp_path / "in" / f"{i}.csv").write_bytes(chinese.encode("gb18030"))
    (tmp_path / "in" / "s.csv").write_text("id;text\n1;Oslo\n")
    (tmp_path / "in" / "e.csv").write_text('id,text\n1,"an \\"odd\\" day, in Oslo"\n')
    (tmp_path / "in" / "t.txt").write_bytes("Müller in Zürich\n".encode("utf-16"))
    (tmp_path / "in" / "u.jsonl.gz").write_bytes(gzip.compress(b'{"id": "u", "text": "Oslo"}\n'))
    run(tmp_path / "in", tmp_path / "out", model="auto")
    said = "3 in gb18030, 1 in utf-16-le, 1 delimited by ';', 1 with quotes escaped by '\\'; of 7 files"
    assert (
        f"read in another way than usual: {said}"
        in json.loads(next(x for x in capsys.readouterr().err.splitlines() if "another way" in x))["text"]
    )
    run(tmp_path / "in" / "u.jsonl.gz", tmp_path / "other")
    assert "another way than usual" not in capsys.readouterr().err


def test_a_file_without_a_header_is_told_of_with_the_remedy(tmp_path):
    (tmp_path / "a.csv").write_text("1,2026-11-20,A whole sentence of a document about the harbour of Oslo\n" * 3)
    with pytest.raises(ConfigError, match=r"There are: 1, 2026-11-20, \.\.\.\. --columns says the names") as error:
        run(tmp_path / "a.csv", tmp_path / "out")
    assert "harbour" not in str(error.value)
    lines(tmp_path / "b.jsonl", {"id": "1", "body": "Oslo"})
    with pytest.raises(ConfigError) as error:
        run(tmp_path / "b.jsonl", tmp_path / "out")
    assert "--columns" not in str(error.value)


def test_heads_are_read_once(tmp_path, monkeypatch):
    opened = []
    open_read = LocalStore.open_read

    def seen(store, path, *more):
        opened.append(path)
        return open_read(store, path, *more)

    lines(tmp_path / "in" / "a.jsonl", *({"id": str(i), "text": f"Oslo {i}"} for i in range(60)))
    monkeypatch.setattr(LocalStore, "open_read", seen)
    run(tmp_path / "in", tmp_path / "out")
    assert opened.count("a.jsonl") == 2  # for its head, and to be tagged


def test_no_files_and_other_formats(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl.tmp").write_text("x")
    for _ in range(2):  # and when there is nothing to do
        (found,) = run(tmp_path / "in", tmp_path / "out").warnings
        assert in_words(found).startswith("the input holds no file of documents; left alone: 1 unfinished (a.jsonl.tmp)")
    (tmp_path / "in" / "part-00000").write_text("text\nin Oslo\n")
    (found,) = run(tmp_path / "in", tmp_path / "out").warnings
    assert "left alone: 1 no suffix that tells the format, 1 unfinished" in in_words(found)
    with pytest.raises(ConfigError, match=r"in: 1 files \(part-00000\), not a known format; .*--format says"):
        run(tmp_path / "in", tmp_path / "other")
    assert not (tmp_path / "other").exists()
    assert run(tmp_path / "in", tmp_path / "other", id_column=None, format="csv").rows_out == 1
    assert verify(str(tmp_path / "other")).status == "agrees"


RECORDS = [{"ident": "1", "text": "in Oslo", "when": "2026-11-20"}]


def put(folder, kind):
    path = folder / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(RECORDS), path)
    elif kind == "arrow":
        pyarrow.feather.write_feather(pa.Table.from_pylist(RECORDS), path)
    elif kind == "csv":
        path.write_text("ident,text,when\n1,in Oslo,2026-11-20\n")
    elif kind == "tsv":
        path.write_text("ident\ttext\twhen\n1\tin Oslo\t2026-11-20\n")
    else:
        data = "".join(json.dumps(one) + "\n" for one in RECORDS).encode()
        path.write_bytes(gzip.compress(data) if kind.endswith("gz") else data)


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "csv", "tsv", "parquet", "arrow"])
@pytest.mark.parametrize(
    ("setting", "column", "nearest"),
    [("id_column", "idnet", "ident"), ("time_column", "whne", "when"), ("source_column", "texxt", "text"), ("keep", "zzz", None)],
)
def test_a_column_that_is_nowhere_is_an_error_before_anything_is_tagged(tmp_path, kind, setting, column, nearest):
    put(tmp_path, kind)
    asked = {"id_column": None, setting: (column,) if setting == "keep" else column}
    with pytest.raises(ConfigError) as error:
        run(tmp_path / f"a.{kind}", tmp_path / "out", **asked)
    said = str(error.value)
    assert f"no column {column!r} in 1 files" in said
    assert "ident, text, when" in said
    assert (f"is it {nearest!r}?" in said) == (nearest is not None)
    assert not (tmp_path / "out").exists()


def test_a_column_that_only_some_files_have_is_a_warning(tmp_path):
    lines(tmp_path / "in" / "a.jsonl", {"id": "1", "text": "in Oslo", "created_at": "2026-11-20"})
    lines(tmp_path / "in" / "b.jsonl", {"text": "in Lyon", "created_at": "2026-11-20"})
    (found,) = run(tmp_path / "in", tmp_path / "out").warnings
    assert in_words(found).startswith("column 'id' is not in 1 of 2 files that were looked into (b.jsonl)")
    # It is known to be somewhere: a night whose files lack it goes on, and says so.
    lines(tmp_path / "in" / "c.jsonl", {"text": "in Porto", "created_at": "2026-11-20"})
    found = run(tmp_path / "in", tmp_path / "out").warnings
    assert [one["code"] for one in found] == ["lacking_columns", "no_ids"]
    assert len(rows(tmp_path / "out")) == 3


@pytest.mark.slow
def test_columns_of_folders_of_objects_and_of_files_without_records(tmp_path):
    lines(tmp_path / "in" / "site=web" / "a.jsonl", {"text": "in Oslo", "created_at": "2026-11-20"})
    assert not run(tmp_path / "in", tmp_path / "out", id_column=None, source_column="site").warnings
    with pytest.raises(ConfigError, match="absent_columns=allow"):
        run(tmp_path / "in", tmp_path / "other", id_column=None, keep=("place",))
    assert run(tmp_path / "in", tmp_path / "other", id_column=None, keep=("place",), absent_columns="allow").rows_out == 1
    (tmp_path / "head.csv").write_text("id,text\n")
    (tmp_path / "b.txt").write_text("in Oslo\n")
    result = run(tmp_path / "*.*", tmp_path / "third")
    assert [one["code"] for one in result.warnings] == ["no_ids"]
