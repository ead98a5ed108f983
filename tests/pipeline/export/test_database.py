"""Promise: SQL sees the parts in place and nothing else, on any store, and changes nothing."""

import shutil
from collections import Counter

import pyarrow as pa
import pytest

from models.runtime.labels import LabelSet
from pipeline.contract import tags_schema
from pipeline.errors import ConfigError, MissingError, OutputError, UnavailableError
from pipeline.export.database import output_database
from pipeline.export.queries import check_condition, run_query
from pipeline.export.values import json_rows, unique_names
from pipeline.store.local import LocalStore
from tests.support.remote import remote_place
from tests.support.report_data import document, letter, made_up, state, write_output

TEXT = "Ms Keller saw Zürich and 上海."
NAMED = [("Keller", "PER"), ("Zürich", "LOC"), ("上海", "LOC")]


def named(id="a", text=TEXT, **more):
    """A document whose entities stand where its text has them."""
    row = document(id, "2026-11-22T08:00:00", text=text, words=[("saw", "VERB"), ("上海", "PROPN")], **more)
    places = [(name, label, text.index(name)) for name, label in NAMED]
    row["entities"] = [
        {"text": name, "label": label, "start": at, "end": at + len(name), "score": 0.9} for name, label, at in places
    ]
    return row


def asked(store, sql):
    with output_database(store) as database:
        batches = run_query(database, sql)
        names = next(batches).schema.names
        return [dict(zip(names, row, strict=True)) for batch in batches for row in json_rows(batch)]


@pytest.fixture
def out(tmp_path):
    left_out = [[letter("dead_letter", "not_json"), letter("filtered", "no_model_for_language", 1)]]
    return LocalStore(write_output(tmp_path / "out", [[named(), named("b", source=None)], [named("c", source="x")]], left_out))


def test_every_table(out):
    assert asked(out, "select id, source, text from tags order by id") == [
        {"id": "a", "source": "news", "text": TEXT},
        {"id": "b", "source": None, "text": TEXT},
        {"id": "c", "source": "x", "text": TEXT},
    ]
    (found,) = asked(out, "from entities where id = 'a' and label = 'PER'")
    assert found == {
        "id": "a", "source": "news", "created_at": "2026-11-22T08:00:00Z", "lang": "en", "sentiment": "neutral",
        "text": "Keller", "label": "PER", "start": 3, "end": 9, "score": 0.9,
    }  # fmt: skip
    words = asked(out, "select text, start, \"end\", pos from words where source = 'x' order by start")
    assert words == [
        {"text": "saw", "start": 10, "end": 13, "pos": "VERB"},
        {"text": "上海", "start": 25, "end": 27, "pos": "PROPN"},
    ]
    assert [(one["reason"], one["raw"]) for one in asked(out, "from dead_letters")] == [("not_json", "{")]
    assert [one["position"] for one in asked(out, "from filtered")] == [1]
    assert [one["name"] for one in asked(out, "show tables")] == ["dead_letters", "entities", "filtered", "tags", "words"]
    for asks in ("describe tags", "summarize tags", "with a as (from tags) select 1 from a", "-- why\nvalues (1);\n"):
        assert asked(out, asks)


def test_an_output_without_parts_or_letters_has_typed_tables(tmp_path):
    store = LocalStore(write_output(tmp_path / "out", [[named()]], keep_text=False))
    assert asked(store, "select count(*) as n, max(position) as p from dead_letters") == [{"n": 0, "p": None}]
    assert asked(store, "select distinct text from words") == [{"text": None}]
    shutil.rmtree(tmp_path / "out" / "tags")
    assert asked(store, "select count(*) as n from entities where score > 0.5") == [{"n": 0}]
    with pytest.raises(OutputError, match="no tags/ in it"):
        asked(LocalStore(tmp_path / "other"), "from tags")


def test_staged_and_superseded_parts_are_not_seen(out, tmp_path):
    other = write_output(tmp_path / "other", [[named("new")]], [[letter("dead_letter", "bomb")]])
    (part,) = (other / "tags").iterdir()
    (letters,) = (other / "dead_letters").iterdir()
    for folder in ("_next/tags", "_staging/1", "_next/reduced/tags", "tags/.old"):
        target = tmp_path / "out" / folder / ("part-000002-00000.parquet" if folder != "tags/.old" else "part.parquet.tmp")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(part, target)
    # What was left out of a part that is not in place: a change of generations was just under way.
    shutil.copy(letters, tmp_path / "out" / "dead_letters" / "part-000002-00000.parquet")
    assert [one["id"] for one in asked(out, "select id from tags order by id")] == ["a", "b", "c"]
    assert [one["reason"] for one in asked(out, "from dead_letters")] == ["not_json"]


@pytest.mark.parametrize(
    "sql",
    [
        "insert into tags values (1)", "copy tags to '{out}/x.csv'", "attach '{out}/x.db'", "set threads = 1", "pragma version",
        "create table t (a int)", "drop view tags", "load json", "install httpfs", "export database '{out}/x'", "begin",
        "call pragma_version()", "explain analyze select 1", "select 1; select 2", "", "-- nothing", "reset threads", "use temp",
        "pivot tags on lang using count(*)", "delete from tags", "detach memory", "prepare p as select 1", "vacuum",
    ],
)  # fmt: skip
def test_nothing_but_reading_is_run(out, tmp_path, sql):
    before = state(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"run here|one statement|pivot"):
        asked(out, sql.format(out=tmp_path / "out"))
    assert state(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select nothing from tags", 'column "nothing" not found'),
        ("selec 1", "syntax error"),
        ("from absent", "absent does not exist"),
        ("select id::int from tags", "Could not convert"),
        ("select $a", "parameters"),
        ("from read_text('/etc/hostname')", "disabled by configuration"),
        ("from '/etc/passwd'", "disabled by configuration|does not exist"),
        ("from read_parquet('{out}/_plans/*.parquet')", "disabled by configuration"),
        ("select count(*) from glob('/etc/*')", "disabled by configuration"),
        ("from variable_of_python", "does not exist"),
    ],
)
def test_what_duckdb_says_is_said(out, tmp_path, sql, said):
    variable_of_python = pa.table({"a": [1]})
    assert variable_of_python.num_rows
    with pytest.raises(ConfigError, match=f"(?i){said}"):
        asked(out, sql.format(out=tmp_path / "out"))


def test_an_error_in_the_middle_of_the_rows_is_said_too(out):
    with pytest.raises(ConfigError, match="Could not convert"):
        asked(out, "select case when range > 200000 then 'x'::int end from range(300000)")


def test_parts_of_several_models_and_settings(tmp_path):
    folder = write_output(tmp_path / "out", [[named()]], keep_text=False)
    own = LabelSet(("PART",), ("good", "bad"))
    other = write_output(tmp_path / "other", [[named("b", classes=("good", "bad"), sentiment="good")]], labels=own)
    for path in (other / "tags").iterdir():
        shutil.copy(path, folder / "tags" / path.name.replace("000001", "000002"))
    rows = asked(LocalStore(folder), "select id, text, sentiment_scores.good as good from tags order by id")
    assert rows == [{"id": "a", "text": None, "good": None}, {"id": "b", "text": TEXT, "good": 0.8}]
    with output_database(LocalStore(folder)) as database:
        for entry, text in zip(database.parts.tags, [None, TEXT], strict=True):
            (batch,) = (one for one in database.batches(f"select text from {database.part(entry)}") if one.num_rows)
            assert batch["text"].to_pylist() == [text]


@pytest.mark.parametrize("name", ["it's [1]", "a*b?", "lang=zh", "back\\slash[x]", "上海"])
def test_names_of_folders_are_no_patterns(tmp_path, name):
    store = LocalStore(write_output(tmp_path / name / "out", [made_up(10), made_up(5, seed=2)]))
    assert asked(store, "select count(*) as n, count(distinct lang) as l from tags") == [{"n": 15, "l": 2}]


def test_a_part_that_goes_meanwhile_is_to_be_tried_again(out, tmp_path):
    with output_database(out) as database:
        for path in (tmp_path / "out" / "tags").iterdir():
            path.unlink()
        with pytest.raises(UnavailableError, match="Try again"):
            list(run_query(database, "select id from tags"))


class _FarStore(LocalStore):
    """A store that only opens files itself, as remote ones do."""

    def local_path(self, path):
        return None


def test_another_store_is_read_through_the_store(out, tmp_path):
    far = _FarStore(tmp_path / "out")
    for sql in ("from tags order by id", "select text, count(*) as n from entities group by 1 order by 1", "from dead_letters"):
        assert asked(far, sql) == asked(out, sql)
    with pytest.raises(ConfigError, match="disabled by configuration"):
        asked(far, "from read_text('/etc/hostname')")
    with output_database(far) as database:
        for path in (tmp_path / "out" / "tags").iterdir():
            path.unlink()
        with pytest.raises(MissingError):
            list(run_query(database, "select id from tags"))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["hdfs-native", "s3"], indirect=True)
def test_the_same_on_hdfs_and_s3(place, out, tmp_path):
    for path in sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        place.put(f"out/{path.relative_to(tmp_path / 'out').as_posix()}", path.read_bytes())
    place.store = type(place)(f"{place.url}/out", place.config).store
    for sql in ("from tags order by id", "from entities order by id, start", "from dead_letters"):
        assert asked(place.store, sql) == asked(out, sql)


@pytest.fixture
def place(request):
    return remote_place(request)


@pytest.mark.parametrize("condition", ["source = 'x'", "len(entities) > 0 -- some", "id in (select id from entities)"])
def test_a_condition(out, condition):
    with output_database(out) as database:
        check_condition(database, condition)


@pytest.mark.parametrize(
    "condition", ["colour = 1", "true); drop view tags; select (1", " ", "source =", "1) union (select 2", "a, b"]
)
def test_what_is_no_condition(out, condition):
    with output_database(out) as database, pytest.raises(ConfigError, match="--filter"):
        check_condition(database, condition)


def test_values_that_json_does_not_know(out):
    sql = """select 1.5::decimal(5,2) as d, sum(range) as s, 'nan'::double as f, date '2026-01-02' as t, 'x'::blob as b,
        {'a': 0.1::float, 'n': null} as r, [0.1::float, null] as l, map {'k': 0.1::float} as m, interval 3 day as i,
        time '10:00' as c, null as z, true as y, 7::utinyint as u from range(3)"""
    (row,) = asked(out, sql)
    interval = row.pop("i")
    assert "3" in interval
    assert row == {
        "d": 1.5, "s": 3, "f": None, "t": "2026-01-02", "b": "x", "r": {"a": 0.1, "n": None}, "l": [0.1, None], "m": {"k": 0.1},
        "c": "10:00:00", "z": None, "y": True, "u": 7,
    }  # fmt: skip


def test_names_of_columns_are_made_unique():
    assert unique_names(["a", "a", "b", "a", "a_1"]) == ["a", "a_1", "b", "a_2", "a_1_1"]
    assert max(Counter(unique_names(["a", "a_1", "a"])).values()) == 1


def test_columns_that_were_kept_are_there(tmp_path):
    assert "text" in tags_schema((), keep_text=True).names
    with output_database(LocalStore(write_output(tmp_path / "out", [[named()]]))) as database:
        assert database.parts.columns == tuple(tags_schema((), keep_text=True).names)
        assert not database.parts.differ
