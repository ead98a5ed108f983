"""Which column is what: usual names, paths, lists, several joined; and what is said where none of it fits."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import cli
from pipeline.config import load_config
from pipeline.contract import DocumentSpec
from pipeline.errors import ConfigError, OutputError, TooManyDeadLettersError
from pipeline.run.run import tag_documents
from pipeline.sink.plan_log import decode, encode
from pipeline.source.blocks import BlockBuilder
from pipeline.source.fields import MISSING, USUAL, find
from tests.support.runs import rows

NOW = DocumentSpec(usual=("id", "time"), separator="\n")


def run(source, output, **more):
    given = {"model": "en-fast", "threads": 1, **more}
    return tag_documents(load_config(None, (), {"sources": [str(source)], "output": output, **given}))


def write(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def block(columns, *records):
    builder = BlockBuilder("a.jsonl", columns)
    for i, record in enumerate(records):
        builder.add(i, record)
    return builder.take()


def test_a_literal_name_goes_before_a_path():
    record = {"a": {"b": 1, "c.d": 2, "e": {"f": 3}}, "a.b": 4, "a.e": {"f": 5}, "x.y": {"z": 6}}
    assert [find(record, name) for name in ("a.b", "a.c.d", "x.y.z", "a.e.f")] == [4, 2, 6, 3]
    assert find({"a": [1]}, "a.b") is MISSING


def test_ids_and_times_are_found_by_their_usual_names():
    record = {"text": "x", "id": 7, "timestamp": "2026-11-20", "date": "2020-01-01"}
    (row,) = block(NOW, record).columns.to_pylist()
    assert (row["id"], row["created_at"].isoformat()) == ("7", "2026-11-20T00:00:00+00:00")
    assert block(DocumentSpec(), record).columns["id"].to_pylist() == ["a.jsonl@0"]  # what plans of before mean
    for name in USUAL["time"]:
        assert block(NOW, {"text": "x", name: "2026-11-20"}).columns["created_at"].null_count == 0
    assert block(DocumentSpec(time="when", usual=("id",)), record).columns["created_at"].null_count == 1
    assert block(NOW, {"text": "x", "created_at": None, "date": "2026-11-20"}).columns["created_at"].null_count == 1
    assert block(DocumentSpec(text="date", usual=("time",)), {"date": "2026-11-20"}).columns["created_at"].null_count == 1


@pytest.mark.parametrize(
    ("record", "text", "reason"),
    [
        ({"title": "A", "body": "B"}, "A\nB", None),
        ({"title": None, "body": "B"}, "B", None),
        ({"body": ["B", None, "C"]}, "B\nC", None),
        ({"title": "", "body": "B"}, "\nB", None),
        ({"title,body": "literal", "title": "A"}, "literal", None),
        ({"title": 7, "body": "B"}, None, "column 'title' is a int"),
        ({"title": ["A", []]}, None, "column 'title' is a list that holds a list"),
        ({"title": None}, None, "column 'title,body' is null or empty"),
        ({"other": "x"}, None, "column 'title,body' is missing"),
    ],
)
def test_several_columns_are_joined(record, text, reason):
    found = block(DocumentSpec(text="title,body", separator="\n"), record)
    assert found.texts == ([text] if text is not None else [])
    assert [one.message for one in found.left_out] == ([reason] if reason else [])
    assert json.loads(found.left_out[0].raw) == record if reason else True


def test_a_run_says_which_columns_it_uses_and_joins_in_every_format(tmp_path, capsys):
    data, out = tmp_path / "in", tmp_path / "out"
    record = {"id": "1", "post": {"title": "Ms Keller", "body": "She is in Oslo."}, "timestamp": 1795170600}
    write(data / "a.jsonl", record)
    pq.write_table(pa.Table.from_pylist([record | {"id": "2"}]), data / "b.parquet")
    (data / "c.csv").write_text("id,post.title,post.body,timestamp\n3,Ms Keller,She is in Oslo.,1795170600\n")
    run(data, out, text_column="post.title,post.body", text_separator=". ", keep_text=True)
    found = rows(out)
    assert sorted(row["id"] for row in found) == ["1", "2", "3"]
    for row in found:
        assert row["text"] == "Ms Keller. She is in Oslo."
        assert row["created_at"].isoformat() == "2026-11-20T10:30:00+00:00"
        assert {row["text"][e["start"] : e["end"]] for e in row["entities"]} == {e["text"] for e in row["entities"]} >= {"Oslo"}
    said = capsys.readouterr().err
    for kind in ("jsonl", "csv", "parquet"):
        assert f"{kind}: text is post.title,post.body; id is id; time is timestamp; no source" in said


def test_an_output_of_an_earlier_version_goes_on_as_it_was_begun(tmp_path):
    """Its plans name no usual columns: ids stay made of path and position, unless everything is tagged anew."""
    data, out = tmp_path / "in", tmp_path / "out"
    write(data / "a.jsonl", {"id": "1", "text": "In Oslo."})
    run(data, out, id_column="", time_column="created_at", absent_columns="allow")
    (path,) = (out / "_plans").glob("*.parquet")
    plan = decode(path.read_bytes(), path.name)
    for key in ("usual", "separator", "time_format", "time_from"):
        del plan.settings["columns"][key]
    path.write_bytes(encode(plan))
    write(data / "b.jsonl", {"id": "2", "text": "In Lyon."})
    run(data, out)
    assert sorted(row["id"] for row in rows(out)) == ["a.jsonl@0", "b.jsonl@0"]
    with pytest.raises(OutputError, match="was tagged with id None, not 'id'"):
        run(data, out, id_column="id")
    run(data, out, retag=True)
    assert sorted(row["id"] for row in rows(out)) == ["1", "2"]


def test_the_time_may_come_from_the_folder_if_it_is_asked_for(tmp_path):
    write(tmp_path / "in" / "dt=2026-11-20" / "a.jsonl", {"text": "In Oslo.", "created_at": "2020-01-01"})
    write(tmp_path / "in" / "dt=soon" / "b.jsonl", {"text": "In Lyon."})
    run(tmp_path / "in", tmp_path / "out", time_from="folder")
    assert sorted(str(row["created_at"])[:10] for row in rows(tmp_path / "out")) == ["2026-11-20", "None"]
    done = json.loads((tmp_path / "out" / "_plans" / "plan-000001.done.json").read_text())
    assert done["counts"]["unreadable_times"] == 1


def test_a_format_of_times_that_tells_no_instant_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="time_format '%H:%M': it tells no year"):
        run(tmp_path, tmp_path / "out", time_format="%H:%M")


def test_the_text_column_is_doubted_only_where_that_fits(tmp_path):
    write(tmp_path / "a" / "a.jsonl", {"body": "x"}, {"body": "y"})
    with pytest.raises(TooManyDeadLettersError, match=r"2 of them no_text .*; is 'text' the text column\?"):
        run(tmp_path / "a", tmp_path / "out-a", absent_columns="allow")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "b.jsonl").write_text("no\nno\n")
    with pytest.raises(TooManyDeadLettersError, match=r"2 of them not_json \(the line or record is no JSON\); look into"):
        run(tmp_path / "b", tmp_path / "out-b")


@pytest.mark.parametrize("folder", ["/proc/nowhere/out", "/dev/null/out"])
def test_an_output_that_cannot_be_made_is_named(folder, tmp_path):
    write(tmp_path / "a.jsonl", {"text": "x"})
    with pytest.raises(OutputError, match=rf"^{folder}: nothing can be written there .*; name another folder"):
        run(tmp_path / "a.jsonl", folder)


def test_show_on_tables_of_somebody_else(tmp_path, capsys):
    (tmp_path / "a" / "tags").mkdir(parents=True)
    (tmp_path / "a" / "tags" / "x.parquet").write_text("no")
    (tmp_path / "b" / "tags").mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "b" / "tags" / "x.parquet")
    for name in "ab":
        with pytest.raises(SystemExit) as ended:
            cli.main(["show", str(tmp_path / name)])
        assert ended.value.code == 2
        assert f"{name}/tags/x.parquet is no part of a run" in capsys.readouterr().err
