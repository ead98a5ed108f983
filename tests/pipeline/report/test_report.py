"""Reports: the numbers are those of the documents, of the tables and of the manifests, however the parts are cut."""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.cli import main
from pipeline import faults
from pipeline.contract import REASONS, tags_schema
from pipeline.errors import ClaimedError, ConfigError, OutputError, PipelineError, ReportError
from pipeline.report import build as make_module
from pipeline.report import parts as parts_module
from pipeline.report.aggregate import aggregate
from pipeline.report.build import make_report
from pipeline.report.database import database
from pipeline.report.i18n import LANGUAGES, TEXTS, WORDS, days_text
from pipeline.report.page import numbers_of
from pipeline.report.parts import parts_of
from pipeline.report.schema import TABLES
from pipeline.report.sums import merge
from pipeline.report.window import ReportWindow
from pipeline.report.words import Terms
from pipeline.store.file_by_file import FileByFile
from pipeline.store.local import LocalStore
from tests.support import ROOT
from tests.support.report_data import document, hostile_output, letter, made_up, state, visible, write_output
from tests.support.runs import run

DAY = date(2026, 11, 22)


def made(folder, first=DAY, last=None, **more):
    return make_report(str(folder), first, last or first, **more)


def rows(report, name):
    return pq.read_table(report.tables[name]).to_pylist()


def page(report):
    return Path(report.page).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Three parts of 400 documents over 8 days, with dead letters and filtered documents."""
    documents = made_up(400)
    left = [[letter("dead_letter", "not_json", n) for n in range(3)], [letter("filtered", "no_model_for_language")]]
    folder = tmp_path_factory.mktemp("report") / "out"
    return write_output(folder, [documents[:150], documents[150:155], documents[155:]], left)


def test_every_figure_of_a_small_output(tmp_path):
    keller, oslo = ("Ms Keller", "PER"), ("Oslo", "LOC")
    documents = [
        document(
            "a", "2026-11-22T08:10:00", [keller, ("Oslo's", "LOC"), oslo], "positive", words=[("trains", "NOUN"), ("the", "DET")]
        ),
        document("b", "2026-11-22T08:50:00", [("ms keller", "PER"), oslo], "negative", "forum", words=[("Trains", "NOUN")]),
        document("c", "2026-11-22T23:59:59", [("OSLO", "ORG")], "negative"),
        document("d", "2026-11-21T12:00:00", [oslo], "neutral", lang="zh"),
        document("e", "2026-11-23T00:00:00", [keller], "neutral"),
        document("f", None, [keller], "neutral"),
    ]
    report = made(write_output(tmp_path / "out", [documents[:3], documents[3:]], [[letter("dead_letter", "not_json")]]))
    assert (report.documents, report.dead_letters, report.filtered, report.disagreements) == (3, 1, 0, ())
    sentiment = [
        (f"{r['hour']:%H}", r["source"], r["documents"], r["negative"], r["positive"]) for r in rows(report, "sentiment")
    ]
    assert sentiment == [("08", "forum", 1, 1, 0), ("08", "news", 1, 0, 1), ("23", "news", 1, 1, 0)]
    assert rows(report, "sentiment")[0]["mean_sentiment"] == pytest.approx(-0.7, abs=1e-6)
    oslo_row, keller_row = rows(report, "entities")
    assert (oslo_row["name"], oslo_row["shown"], oslo_row["label"]) == ("oslo", "Oslo", "LOC")
    assert (oslo_row["mentions"], oslo_row["documents"], oslo_row["negative"]) == (4, 3, 2)
    assert oslo_row["negative_share"] == pytest.approx(2 / 3)
    assert (keller_row["name"], keller_row["mentions"], keller_row["documents"]) == ("ms keller", 2, 2)
    (pair,) = rows(report, "pairs")
    assert (pair["name_a"], pair["name_b"], pair["documents"], pair["documents_a"], pair["documents_b"]) == (
        "ms keller",
        "oslo",
        2,
        2,
        3,
    )
    assert pair["lift"] == pytest.approx(2 * 3 / (2 * 3))
    assert pair["npmi"] == pytest.approx(0)
    assert [(r["term"], r["mentions"], r["documents"]) for r in rows(report, "terms")] == [("trains", 2, 2)]
    assert [r["id"] for r in rows(report, "examples") if r["name"] == "oslo"] == ["c", "b", "a"], "the latest first"
    assert {(r["day"], r["lang"]) for r in rows(report, "volumes")} == {(DAY, "en"), (date(2026, 11, 21), "zh")}
    outcomes = {(r["part"], r["outcome"], r["reason"], r["documents"]) for r in rows(report, "outcomes")}
    assert outcomes == {("part-000001-00000", "tagged", None, 3), ("part-000001-00000", "dead_letter", "not_json", 1)}


def test_tables_have_the_documented_schema(output):
    report = made(output)
    assert set(report.tables) == set(TABLES)
    for name, schema in TABLES.items():
        found = pq.read_schema(report.tables[name])
        assert found.equals(schema)
        assert all(field.metadata[b"doc"] for field in found), name
        assert pq.read_metadata(report.tables[name]).num_rows == report.rows[name]


def test_page_tables_files_and_manifests_hold_the_same_numbers(output):
    report = make_report(str(output), None, None)
    manifest = json.loads(next(p for p in (output / "_runs").iterdir() if "metrics" not in p.name).read_text())
    figures = numbers_of(page(report))
    assert (
        figures["documents"] == report.documents == manifest["rows_out"] == sum(r["documents"] for r in rows(report, "sentiment"))
    )
    assert figures["dead_letters"] == report.dead_letters == manifest["dead_letters"] == 3
    assert figures["filtered"] == report.filtered == manifest["filtered"] == 1
    assert figures["mentions"] == sum(r["mentions"] for r in rows(report, "entities"))
    tagged = pq.read_table(output / "tags")
    assert tagged.num_rows == figures["documents"]
    assert sum(map(len, tagged["entities"].to_pylist())) == figures["mentions"]


def test_days_add_up_to_a_report_of_all_of_them(output):
    whole = make_report(str(output), date(2026, 11, 15), DAY)
    days = [made(output, date(2026, 11, n)) for n in range(15, 23)]
    assert sum(day.documents for day in days) == whole.documents
    assert sum(day.rows["sentiment"] for day in days) == whole.rows["sentiment"]
    together = [row for day in days for row in rows(day, "sentiment")]
    assert together == rows(whole, "sentiment")
    undated = sum(row["created_at"] is None for row in pq.read_table(output / "tags").to_pylist())
    assert undated > 0
    everything = make_report(str(output), None, None)
    assert everything.documents == whole.documents + undated == 400


DOCUMENTS = made_up(60, seed=7, names=6)


def _aggregates(tmp, cuts):
    store = LocalStore(write_output(tmp / f"{len(list(tmp.iterdir()))}", cuts))
    with database(700) as con:
        return [aggregate(store, con, [part], ReportWindow(DAY, DAY), Terms()) for part in parts_of(store)]


def _as_rows(partial):
    out = {}
    for name, table in partial.items():
        if name != "read":
            out[name] = sorted(map(repr, table.to_pylist()))
    return out


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=60, max_size=60), st.randoms(use_true_random=False))
def test_any_partition_of_the_documents_merged_in_any_order_gives_the_same_sums(tmp_path_factory, where, rng):
    tmp = tmp_path_factory.mktemp("partition")
    cuts = [[document for document, part in zip(DOCUMENTS, where, strict=True) if part == n] for n in range(5)]
    (whole,) = _aggregates(tmp, [DOCUMENTS])
    several = _aggregates(tmp, [cut for cut in cuts if cut])
    rng.shuffle(several)
    with database(700) as con:
        while len(several) > 1:
            several = [merge(con, several[:2]), *several[2:]]
    assert _as_rows(several[0]) == _as_rows(whole)


def test_how_parts_are_cut_blocked_and_read_changes_no_table(output, tmp_path, monkeypatch):
    one = write_output(
        tmp_path / "one", [[row for part in sorted((output / "tags").iterdir()) for row in pq.read_table(part).to_pylist()]]
    )
    reports = [made(output, into=str(tmp_path / "a")), made(one, into=str(tmp_path / "b"))]
    monkeypatch.setattr(parts_module, "BLOCK_ROWS", 1)
    reports.append(made(output, into=str(tmp_path / "c")))
    monkeypatch.setattr(make_module, "open_store", lambda url, reach: _Elsewhere(LocalStore(Path(url))))
    reports.append(made(output, into=str(tmp_path / "d")))
    for name in set(TABLES) - {"outcomes"}:
        assert len({Path(report.tables[name]).read_bytes() for report in reports}) == 1, name


class _Elsewhere(FileByFile):
    """The same store, but one of whose files DuckDB knows nothing."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)


def test_without_documents_a_report_says_so(tmp_path):
    empty = write_output(tmp_path / "empty", [[]])
    for days in ((DAY, DAY), (None, None)):
        report = make_report(str(empty), *days)
        assert report.documents == 0
        assert all(pq.read_table(report.tables[name]).num_rows == 0 for name in set(TABLES) - {"outcomes"})
        assert TEXTS["en"]["no_documents"] in page(report)
    none = write_output(tmp_path / "none", [])
    assert make_report(str(none), None, None, lang="zh").documents == 0
    with pytest.raises(OutputError, match="is it the output folder"):
        made(tmp_path)


def test_a_day_without_documents_before_other_days_with_some(output):
    report = made(output, date(2026, 11, 25))
    assert report.documents == 0
    assert report.rows["volumes"] > 0


def test_one_label_one_source_one_sentiment(tmp_path):
    documents = [document(str(n), "2026-11-22T08:00:00", [("Oslo", "LOC")], "negative") for n in range(5)]
    report = made(write_output(tmp_path / "out", [documents]))
    assert [(r["shown"], r["label"], r["documents"], r["negative_share"]) for r in rows(report, "entities")] == [
        ("Oslo", "LOC", 5, 1.0)
    ]
    assert "Oslo" in page(report)


def test_doubtful_entities_do_not_count_where_a_least_score_is_asked_for(tmp_path):
    documents = [document(str(n), "2026-11-22T08:00:00", [("Oslo", "LOC"), ("Bergen", "LOC")]) for n in range(4)]
    for number, row in enumerate(documents):
        row["entities"][1]["score"] = 0.5 + 0.1 * number
    output = write_output(tmp_path / "out", [documents])
    counted = {}
    for least in (0.0, 0.7, 0.95):
        report = make_report(str(output), DAY, DAY, str(tmp_path / f"report-{least}"), min_score=least)
        counted[least] = {r["shown"]: r["documents"] for r in rows(report, "entities")}
        assert json.loads((Path(report.folder) / "report.json").read_text()).get("min_score", 0.0) == least
    assert counted == {0.0: {"Oslo": 4, "Bergen": 4}, 0.7: {"Oslo": 4, "Bergen": 2}, 0.95: {}}
    with pytest.raises(ConfigError, match=r"--min-score 1\.5"):
        make_report(str(output), DAY, DAY, min_score=1.5)


def test_a_missing_day_before_is_said_and_none_at_all_too(tmp_path):
    def some(day, count):
        return [document(f"{day}-{n}", f"2026-11-{day}T08:00:00", [("Oslo", "LOC")]) for n in range(count)]

    report = made(write_output(tmp_path / "a", [some(22, 9) + some(20, 9) + some(19, 9)]))
    assert "21 Nov" in page(report)
    assert TEXTS["en"]["volume_same"].split("{")[0] in page(report), "a day without documents is no usual day"
    report = made(write_output(tmp_path / "b", [some(22, 9)]))
    assert report.rows["rising_entities"] == 0
    assert TEXTS["en"]["no_before"] in page(report)


def test_what_rises_is_found_and_what_is_merely_frequent_is_not(tmp_path):
    documents = []
    for day in range(15, 23):
        for n in range(100):
            names = [("Oslo", "LOC")] if n % 2 else []
            words = [("weather", "NOUN")]
            if (day == 22 and n < 12) or (day == 18 and n < 1):
                names, words = [*names, ("Volta Energy", "ORG")], [*words, ("strike", "NOUN")]
            documents.append(document(f"{day}-{n}", f"2026-11-{day}T08:00:00", names, words=words))
    report = made(write_output(tmp_path / "out", [documents]))
    (entity,) = rows(report, "rising_entities")
    assert (entity["name"], entity["documents"], entity["before"]) == ("volta energy", 12, 1)
    assert entity["expected"] == pytest.approx(13 / 8)
    assert entity["ratio"] == pytest.approx(12.5 / 101 / (1.5 / 701))
    assert [r["term"] for r in rows(report, "rising_terms")] == ["strike"]
    assert "Volta Energy" in page(report)


def test_the_page_shows_what_rises_most_whatever_its_language(tmp_path):
    """Sixteen English terms rise; the Chinese one that rises more is not pushed off the page by them."""
    pytest.importorskip("spacy")
    documents = []
    for day in range(15, 23):
        for n in range(60):
            rising = day == 22 and n < 12
            words = [(f"term{chr(97 + k)}", "NOUN") for k in range(16)] if rising else [("weather", "NOUN")]
            documents.append(document(f"en{day}-{n}", f"2026-11-{day}T08:00:00", words=words))
            chinese = [("\u7f62\u5de5", "NOUN")] if day == 22 else [("\u5929\u6c14", "NOUN")]
            documents.append(document(f"zh{day}-{n}", f"2026-11-{day}T08:00:00", lang="zh", words=chinese))
    report = made(write_output(tmp_path / "out", [documents]))
    assert report.rows["rising_terms"] == 17
    chips = page(report).split(f"<h3>{TEXTS['en']['rising_terms']}</h3>")[1].split("</ul>")[0]
    assert chips.count("<li>") == 15
    assert chips.index("\u7f62\u5de5") < chips.index("term")


def test_terms_of_cleaned_texts_hold_no_markup(tmp_path):
    """Their offsets lead into the original, where markup may stand inside a word; entities are as the model has read them."""
    pytest.importorskip("spacy")
    texts = [
        "<p>We met <b>Lena</b> Brandt in Mun<b>ich</b>.</p>",
        "Rain&shy;bows fell on the har<i>bour</i>. R&amp;D &lt;grows&gt;.",
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    run(tmp_path / "a.jsonl", tmp_path / "out", clean="html", keep_text=True, id_column=None, model="en")
    report = make_report(str(tmp_path / "out"), None, None)
    terms = {row["term"] for row in pq.read_table(report.tables["terms"]).to_pylist()}
    assert {"lena", "brandt", "munich", "rainbows", "harbour"} <= terms
    assert not any(char in term for term in terms for char in "<>;")
    names = {row["name"] for row in pq.read_table(report.tables["entities"]).to_pylist()}
    assert {"lena brandt", "munich"} <= names


def test_texts_that_were_not_kept_are_no_terms_but_a_word_of_advice(tmp_path):
    report = made(
        write_output(tmp_path / "out", [[document("a", "2026-11-22T08:00:00", words=[("trains", "NOUN")])]], keep_text=False)
    )
    assert report.rows["terms"] == report.rows["rising_terms"] == 0
    assert "run tag with --keep-text to get terms" in page(report)


def test_without_spacy_the_page_says_how_to_get_terms(output, tmp_path, monkeypatch):
    for module in ("aggregate", "passes", "words"):
        monkeypatch.setattr(f"pipeline.report.{module}.stop_words", lambda language: None)
    report = made(output, into=str(tmp_path / "r"))
    assert report.rows["terms"] == 0
    assert "extra spacy" in page(report)


def test_what_documents_hold_is_harmless_in_page_and_sheets(tmp_path):
    report = made(hostile_output(tmp_path / "out"))
    text = page(report)
    for mark in ("<script>alert", "<img", "onmouseover='", "<b>reason", "<u>no", "\u202e", "\u2028", "<i>"):
        assert mark not in text, mark
    assert "&lt;script&gt;alert(1)" in text
    assert text.count("<script") == 2, "the data and our own"
    for path in Path(report.folder).glob("*.csv"):
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for row in csv.reader(stream):
                assert not any(cell.startswith(("=", "+", "@", "\t", "\r", "＝")) for cell in row), path
                assert not any(cell.startswith("-") and not _is_number(cell) for cell in row), path
    names = {row["shown"] for row in rows(report, "entities")}
    assert '=HYPERLINK("http://x") x' in names, "the Parquet tables hold what the documents hold"
    there = {p.name for p in Path(report.folder).iterdir()}
    assert there == {"index.html", "report.json", *(f"{name}.{kind}" for name in TABLES for kind in ("csv", "parquet"))}


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_the_page_needs_nothing_beside_it(output):
    text = page(made(output))
    assert "://" not in text.replace("http-equiv", "")
    assert "src=" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_both_languages_have_all_words():
    for lang in LANGUAGES:
        assert TEXTS[lang].keys() == TEXTS["en"].keys()
        assert all(WORDS[lang][kind].keys() == words.keys() for kind, words in WORDS["en"].items())
        assert WORDS[lang]["reason"].keys() == REASONS.keys()
        assert {f"table_{name}" for name in TABLES} <= TEXTS[lang].keys()
        for key, text in TEXTS["en"].items():
            if isinstance(text, str):
                assert sorted(_fields(text)) == sorted(_fields(TEXTS[lang][key])), key
    assert days_text(DAY, DAY, "en") == "Sunday, 22 November 2026"
    assert days_text(date(2026, 11, 16), DAY, "en") == "16 to 22 November 2026"
    assert days_text(date(2025, 12, 30), date(2026, 1, 2), "en") == "30 December 2025 to 2 January 2026"
    assert days_text(DAY, DAY, "zh") == "2026年11月22日 星期日"


def _fields(text):
    return [piece.split("}")[0] for piece in text.split("{")[1:]]


def test_the_same_report_again_changes_no_byte_and_late_data_makes_a_revision(tmp_path):
    early = [document("a", "2026-11-22T08:00:00", [("Oslo", "LOC")])]
    out = write_output(tmp_path / "out", [early])
    first = made(out)
    before = state(out / "reports")
    again = made(out)
    assert (again.changed, again.revision, state(out / "reports")) == (False, 1, before)
    late = write_output(tmp_path / "late", [early, [document("b", "2026-11-22T09:00:00")]])
    for name in ("tags", "_plans", "_runs"):
        (out / name).rename(tmp_path / f"old-{name}")
        (late / name).rename(out / name)
    second = made(out)
    assert (second.revision, second.documents, second.changed) == (2, 2, True)
    assert second.page == first.page
    kept = {
        f"2026-11-22{path.removeprefix('2026-11-22.r1')}": data for path, data in state(out / "reports").items() if ".r1/" in path
    }
    assert kept == before, "the revision before is there, untouched"
    assert visible(out / "reports") == ["2026-11-22", "2026-11-22.r1"]
    assert made(out, date(2026, 11, 16), DAY).folder.endswith("reports/2026-11-16_2026-11-22")


def test_a_store_that_cannot_rename_folders_gets_the_last_file_last_and_goes_on_when_killed(output, tmp_path, monkeypatch):
    monkeypatch.setattr(make_module, "open_store", lambda url, reach: _Elsewhere(LocalStore(Path(url).resolve())))
    first = made(output, into=str(tmp_path / "r"))
    assert (first.revision, first.changed) == (1, True)
    before = state(tmp_path / "r")
    (tmp_path / "r.new").mkdir()
    for name in ("report.json", "index.html"):  # as if killed before these two
        (tmp_path / "r" / name).rename(tmp_path / "r.new" / name)
    assert made(output, into=str(tmp_path / "r")).changed is False
    assert state(tmp_path / "r") == before
    second = made(output, into=str(tmp_path / "r"), lang="zh")
    assert (second.revision, state(tmp_path / "r.r1")) == (2, before)
    assert visible(tmp_path) == ["r", "r.r1"]


@pytest.mark.parametrize("point", faults.REPORT_POINTS)
def test_killed_while_it_is_published_a_report_is_whole_and_the_next_one_goes_on(tmp_path, point, monkeypatch):
    out = write_output(tmp_path / "out", [[document("a", "2026-11-22T08:00:00", [("Oslo", "LOC")])]])
    made(out)
    command = [sys.executable, "-m", "jobs", "report", str(out), "--date", "2026-11-22", "--lang", "zh"]
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    killed = subprocess.run(command, env={**os.environ, faults.ENV: point}, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    about = json.loads((out / "reports/2026-11-22/report.json").read_text())
    assert about["lang"] == ("en" if point == "report.publish.before" else "zh")
    assert (out / "reports/2026-11-22/index.html").is_file()
    assert len(list((tmp_path / "scratch").iterdir())) == 1
    report = made(out, lang="zh")
    assert list((tmp_path / "scratch").iterdir()) == [], "what DuckDB wrote to disk is gone"
    assert (report.revision, report.changed) == (2, point == "report.publish.before")
    folders = visible(out / "reports")
    assert folders == ["2026-11-22", "2026-11-22.r1"]
    assert json.loads((out / "reports/2026-11-22.r1/report.json").read_text())["lang"] == "en"


def test_counts_that_do_not_agree_are_said_on_the_page_and_by_the_exit_code(tmp_path, capsys):
    documents = [document("a", "2026-11-22T08:00:00")]
    out = write_output(tmp_path / "out", [documents, documents], [[letter("dead_letter", "not_json")]])
    (out / "dead_letters/part-000001-00000.parquet").unlink()
    (out / "tags/part-000001-00001.parquet").unlink()
    report = made(out, into=str(tmp_path / "r"))
    assert len(report.disagreements) == 2
    assert "part-000001-00000: 0 rows in dead_letters/, footer 1" in report.disagreements
    assert "part-000001-00001" in report.disagreements[1]
    assert all(text in page(report) for text in report.disagreements)
    with pytest.raises(SystemExit) as stopped:
        main(["report", str(out), "--date", "2026-11-22"])
    assert stopped.value.code == 4
    assert "counts do not agree" in capsys.readouterr().err


def test_a_page_that_does_not_show_what_the_tables_hold_is_not_published(output, tmp_path, monkeypatch):
    render = make_module.render
    monkeypatch.setattr(make_module, "render", lambda facts, lang: render(facts, lang).replace('"documents">', '"documents">1'))
    with pytest.raises(ReportError, match="not published"):
        made(output, into=str(tmp_path / "r"))
    assert visible(tmp_path) == []


def test_what_is_wrong_is_said_with_its_remedy(output, tmp_path):
    for wrong in ({"first": DAY, "last": date(2026, 11, 1)}, {"memory_mb": 10}, {"lang": "fr"}, {"into": "/"}):
        with pytest.raises(ConfigError):
            made(output, **wrong)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="is no report, and is not written over"):
        made(output, into=str(tmp_path / "mine"))
    broken = write_output(tmp_path / "broken", [[document("a", "2026-11-22T08:00:00")]])
    (broken / "tags/part-000001-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(OutputError, match="part-000001-00000"):
        made(broken)
    with LocalStore(output).claim(f"reports/.{DAY}.claim"), pytest.raises(ClaimedError):
        made(output)
    for arguments in (["--from", "2026-11-01"], ["--date", "2026-11-01", "--to", "2026-11-02"], ["--date", "yesterday"]):
        with pytest.raises(SystemExit) as stopped:
            main(["report", str(output), *arguments])
        assert stopped.value.code == 2


def test_times_out_of_the_ordinary(tmp_path):
    """Leap days, month ends, times before 1970 and far away: each in its own day."""
    times = [
        "2024-02-29T23:59:59.999999",
        "2024-03-01T00:00:00",
        "1969-12-31T23:30:00",
        "1987-03-05T05:00:00",
        "2999-01-01T00:00:00",
    ]
    out = write_output(tmp_path / "out", [[document(time, time, [("Oslo", "LOC")]) for time in times]])
    for time in times:
        day = date.fromisoformat(time[:10])
        report = made(out, day, into=str(tmp_path / time[:10]))
        assert [r["id"] for r in rows(report, "examples")] == [time]
        assert [r["hour"].isoformat()[:13] for r in rows(report, "sentiment")] == [time[:13]]
    whole = make_report(str(out), None, None)
    assert whole.documents == len(times)
    assert len(page(whole)) < 2_000_000, "a thousand years in a chart"


def test_times_that_are_surely_none_are_none(tmp_path):
    times = pa.array([2**62, -(2**62), 2**63 - 1, None, 0], pa.timestamp("us", "UTC"))
    table = pa.Table.from_pylist([document(str(n), None, [("Oslo", "LOC")]) for n in range(5)], schema=tags_schema((), True))
    out = write_output(tmp_path / "out", [table.set_column(2, table.schema.field("created_at"), times)])
    report = make_report(str(out), None, None)
    assert (report.documents, report.disagreements) == (5, ())
    assert [(r["hour"] and r["hour"].year, r["documents"]) for r in rows(report, "sentiment")] == [(1970, 1), (None, 4)]
    assert "4 without a time" in page(report)


def test_a_part_that_is_broken_inside_is_named_and_nothing_is_published(tmp_path):
    out = write_output(tmp_path / "out", [made_up(300)])
    part = out / "tags/part-000001-00000.parquet"
    data = bytearray(part.read_bytes())
    data[200:1200] = bytes(1000)
    part.write_bytes(data)
    with pytest.raises(PipelineError) as raised:
        make_report(str(out), None, None)
    assert raised.value.exit_code in (3, 4)
    assert not (out / "reports").exists() or visible(out / "reports") == []


def test_a_limit_of_memory_that_does_not_do_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.report.database.OTHERS_MB", 598)
    with pytest.raises(ReportError, match="--memory-mb"):
        made(write_output(tmp_path / "out", [made_up(5_000, names=4_000)]), memory_mb=600)


def test_columns_of_the_users_own_do_not_get_in_the_way(tmp_path):
    schema = tags_schema(("doc", "hour", "current", "name"), True)
    document_ = {**document("a", "2026-11-22T08:00:00", [("Oslo", "LOC")]), "doc": "x", "hour": "y", "current": "z", "name": "w"}
    out = write_output(tmp_path / "out", [pa.Table.from_pylist([document_], schema=schema).select(tags_schema((), True).names)])
    assert made(out).documents == 1


def test_the_documentation_describes_every_column():
    text = (ROOT / "docs" / "reports.md").read_text()
    for name, schema in TABLES.items():
        section = text.split(f"## {name}\n")[1].split("\n## ")[0]
        for field in schema:
            assert f"| {field.name} | {field.type} | {field.metadata[b'doc'].decode()} |" in section
