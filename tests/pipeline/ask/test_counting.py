"""Questions that are counted: the figures are those of a slow count, the SQL gives them again, and the rest is read."""

import json
import subprocess
import sys
from collections import Counter
from datetime import date

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ask.counting import count_answer
from pipeline.ask.index import build_index
from pipeline.ask.intents import Intent, intents_of
from pipeline.ask.search import Filters, day
from pipeline.errors import OutputError
from pipeline.report.name_normalization import normalize_name
from pipeline.store.local import LocalStore
from tests.support import ROOT
from tests.support.runs import EXAMPLE, run

TODAY = date(2026, 11, 27)  # a Friday
KNOWN = [
    ("How negative is Volta Energy?", Intent("sentiment", "Volta Energy")),
    ("what is the sentiment on Arrow Airlines", Intent("sentiment", "Arrow Airlines")),
    ("Which companies were named with Oslo?", Intent("together", "Oslo", "ORG")),
    ("What people are mentioned together with Volta Energy?", Intent("together", "Volta Energy", "PER")),
    ("What are the most mentioned places?", Intent("top", "", "LOC")),
    ("Top companies", Intent("top", "", "ORG")),
    ("which people are named most", Intent("top", "", "PER")),
    ("How many posts mention 'Oslo'?", Intent("count", "Oslo")),
    ("\u534e\u4e3a\u6709\u591a\u8d1f\u9762\uff1f", Intent("sentiment", "\u534e\u4e3a")),
    (
        "\u548c\u534e\u4e3a\u4e00\u8d77\u63d0\u5230\u7684\u516c\u53f8\u6709\u54ea\u4e9b\uff1f",
        Intent("together", "\u534e\u4e3a", "ORG"),
    ),
    ("\u63d0\u5230\u6700\u591a\u7684\u4eba\u662f\u8c01\uff1f", Intent("top", "", "PER")),
    ("\u6709\u591a\u5c11\u7bc7\u6587\u7ae0\u63d0\u5230\u4e0a\u6d77\uff1f", Intent("count", "\u4e0a\u6d77")),
]
READ = [
    "Who bought Halden Motors?",
    "How many jobs did Volta Energy cut?",
    "Where is Oslo?",
    "",
    "?",
    "\u8c01\u6536\u8d2d\u4e86\u534e\u4e3a\uff1f",
]


@pytest.mark.parametrize(("question", "intent"), KNOWN)
def test_what_is_meant_is_found(question, intent):
    assert intents_of(question, TODAY) == (intent,)


@pytest.mark.parametrize("question", READ)
def test_what_is_not_known_is_left_to_the_reader(question):
    assert intents_of(question, TODAY) == ()


def test_filters_by_entity_and_day_count_too(tmp_path):
    texts = ["Anna Berg met Tom Reed in Oslo.", "Anna Berg went to Cork.", "Tom Reed went to Oslo."]
    lines = [json.dumps({"id": f"d{n}", "text": text, "created_at": "2026-11-01T10:00:00Z"}) for n, text in enumerate(texts)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    run(tmp_path / "a.jsonl", tmp_path / "out")

    def count(**filters):
        table = count_answer([Intent("count", "Anna Berg")], LocalStore(tmp_path / "out"), Filters(**filters)).table
        return table["documents"].to_pylist()

    assert count() == [2]
    assert count(entity="Tom Reed") == count(entity="PER:Tom Reed") == [1]
    assert count(entity="ORG:Tom Reed") == count(entity="Nobody Here") == [0]
    assert count(until=day("9999-12-31")) == [2]


@given(st.text(max_size=200))
def test_any_text_is_a_question(text):
    intents_of(text, TODAY)
    intents_of(f"how negative is {text}?", TODAY)


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    out = tmp_path_factory.mktemp("count") / "out"
    run(EXAMPLE, out, keep_text=True, id_column="id")
    return out


def documents(output, keep=lambda one: True):
    rows = [row for path in sorted(output.glob("tags/*.parquet")) for row in pq.read_table(path).to_pylist()]
    return [row for row in rows if keep(row)]


def named(row):
    return {normalize_name(e["text"]) for e in row["entities"]}


def test_counts_are_those_of_a_slow_count_and_the_sql_gives_them_again(output):
    mine = documents(output, lambda row: "volta energy" in named(row))
    counted = count_answer([Intent("sentiment", "VOLTA energy")], LocalStore(output))
    (row,) = counted.table.to_pylist()
    moods = Counter(one["sentiment"] for one in mine)
    assert len(mine) > 5
    assert row == {"documents": len(mine), **{k: moods[k] for k in ("negative", "neutral", "positive")},
                   "negative_share": pytest.approx(moods["negative"] / len(mine), abs=1e-4)}  # fmt: skip
    assert duckdb.sql(counted.sql).to_arrow_table() == counted.table

    together = count_answer([Intent("together", "Volta Energy", "LOC")], LocalStore(output)).table.to_pylist()
    slow = Counter(name for one in mine for name in {e["text"] for e in one["entities"] if e["label"] == "LOC"})
    assert {one["name"]: one["documents"] for one in together} == dict(sorted(slow.items(), key=lambda kv: (-kv[1], kv[0]))[:10])

    top = count_answer([Intent("top", "", "PER")], LocalStore(output)).table.to_pylist()
    slow = Counter(name for one in documents(output) for name in {e["text"] for e in one["entities"] if e["label"] == "PER"})
    assert [(one["name"], one["documents"]) for one in top] == sorted(slow.items(), key=lambda kv: (-kv[1], kv[0]))[:10]


def test_filters_leave_what_they_say(output):
    chosen = Filters(source="wire/world", since=day("2026-11-05"), until=day("2026-11-15"))
    (row,) = count_answer([Intent("count", "Volta Energy")], LocalStore(output), chosen).table.to_pylist()
    inside = documents(
        output,
        lambda one: (
            "volta energy" in named(one)
            and one["source"] == "wire/world"
            and one["created_at"] is not None
            and "2026-11-05" <= f"{one['created_at']:%Y-%m-%d}" <= "2026-11-15"
        ),
    )
    assert row["documents"] == len(inside) > 0


def test_a_period_and_a_source_in_words_are_filters(output):
    def counted(question):
        return count_answer(intents_of(question, date(2026, 11, 18)), LocalStore(output))

    def rows(**filters):
        return count_answer([Intent("sentiment", "Volta Energy")], LocalStore(output), Filters(**filters)).table

    week = counted("How negative was Volta Energy last week?")
    assert week.title.endswith("2026-11-09 to 2026-11-15")
    assert week.table == rows(since=day("2026-11-09"), until=day("2026-11-15"))
    assert 0 < week.table["documents"][0].as_py() < rows()["documents"][0].as_py()
    both = counted("How negative was Volta Energy in source wire/world in November?")
    assert both.table == rows(source="wire/world", since=day("2026-11-01"), until=day("2026-11-30"))
    assert counted("\u4e0a\u5468Volta Energy\u6709\u591a\u8d1f\u9762").table == week.table
    (nothing,) = counted("How negative was Volta Energy in 2020?").table.to_pylist()
    assert nothing == {"documents": 0, "negative": 0, "neutral": 0, "positive": 0, "negative_share": None}
    top = counted("top people in source wire/world")
    assert top.table == count_answer([Intent("top", "", "PER")], LocalStore(output), Filters(source="wire/world")).table
    assert counted("top people in source nowhere") is None  # misspelt: no table of nothing


def test_a_name_that_looks_like_a_period_is_a_name(tmp_path):
    texts = ["Tom Reed writes for USA Today.", "Tom Reed of the USA went to Cork."]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"id": text, "text": text}) + "\n" for text in texts))
    run(tmp_path / "a.jsonl", tmp_path / "out")
    names = {e["text"] for path in (tmp_path / "out/tags").glob("*.parquet") for row in pq.read_table(path).to_pylist()
             for e in row["entities"]}  # fmt: skip
    assert {"USA Today", "USA"} <= names
    asked = intents_of("How many documents mention USA Today?", TODAY)
    assert [one.name for one in asked] == ["USA Today", "USA"]
    assert "Today" in count_answer(asked, LocalStore(tmp_path / "out")).title
    (row,) = count_answer(asked[1:], LocalStore(tmp_path / "out")).table.to_pylist()
    assert row == {"documents": 0}  # of today: neither has a time


def test_names_are_data_never_sql(output):
    assert count_answer([Intent("count", "'); drop table x; --")], LocalStore(output)) is None
    assert count_answer([Intent("count", "nobody here")], LocalStore(output)) is None
    assert count_answer([Intent("top")], LocalStore(output), Filters(source="' or 1=1 --")).table.num_rows == 0


def test_where_there_are_no_tags_nothing_is_counted(output, tmp_path):
    assert count_answer([Intent("top")], LocalStore(output / "nowhere")) is None
    (tmp_path / "tags").mkdir()
    (tmp_path / "tags" / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(OutputError, match="cannot be read"):
        count_answer([Intent("top")], LocalStore(tmp_path))


def test_a_folder_is_no_pattern(output, tmp_path):
    odd = tmp_path / "o[dd]*'?"
    odd.symlink_to(output)
    counted = count_answer([Intent("top", "", "PER")], LocalStore(odd))
    assert counted.table == count_answer([Intent("top", "", "PER")], LocalStore(output)).table
    assert duckdb.sql(counted.sql).to_arrow_table() == counted.table


def test_the_command_counts(output, tmp_path):
    build_index(LocalStore(output), tmp_path / "answers")
    command = [sys.executable, "-m", "jobs", "ask", str(tmp_path / "answers"), "How negative is Volta Energy?"]
    shown = subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT).stdout
    assert "negative" in shown
    assert "select count(*) as documents" in shown
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True, text=True, cwd=ROOT).stdout)
    assert duckdb.sql(found["sql"]).to_arrow_table().to_pylist() == found["rows"]
