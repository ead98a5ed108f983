"""Reports over a user's own model: its classes are counted and shown, and nothing is said of a sentiment that there is not."""

import json
import re
from collections import Counter
from datetime import date, timedelta
from html import unescape
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.runtime.labels import SENTIMENTS, LabelSet
from pipeline.errors import OutputError, ReportError
from pipeline.report import parts as parts_module
from pipeline.report import tables
from pipeline.report.build import make_report
from pipeline.report.classes import are_moods
from pipeline.report.i18n import LANGUAGES, TEXTS, WITHOUT_MOODS
from pipeline.report.page import numbers_of
from pipeline.report.schema import TABLES
from tests.support.report_data import document, made_up, visible, write_output

DAY = date(2026, 11, 22)
OWN = ("complaint", "praise", "question")
MOODS = ("negative", "neutral", "positive", "mean_sentiment")
# What is said of sentiment, in both languages.
SAID = re.compile(r"sentiment|negative|neutral|positive|worst light|−1 to|−1 到|情感|负面|中性|正面|处境", re.IGNORECASE)


def own(count, classes=OWN, kinds=("PRODUCT", "TEAM"), first="2026-11-15"):
    """So many documents over eight days, of names of two types; of the classes all but the last."""
    out = []
    for n in range(count):
        round, day = divmod(n, 8)
        when = f"{date.fromisoformat(first) + timedelta(day)}T{round % 24:02d}:00:00"
        names = [("Volta 3", kinds[0]), ("Support", kinds[1])][round % 2 : 1 + round % 3]
        kind, source = classes[round % (len(classes) - 1)] if classes else None, ("mail", "shop")[round % 3 == 0]
        out.append(document(f"d{n}", when, names, kind, source, words=[("battery", "NOUN")], classes=classes))
    return out


def made(folder, rows_of, labels, first=DAY, last=None, **more):
    return make_report(str(write_output(folder, rows_of, labels=labels)), first, last or first, **more)


def rows(report, name):
    return pq.read_table(report.tables[name]).to_pylist()


def page(report):
    return Path(report.page).read_text(encoding="utf-8")


def said(report):
    """What somebody can read or hear of a page; the tables keep their names."""
    text = re.sub(r"<(style|script).*?</\1>", "", page(report), flags=re.DOTALL)
    return unescape(re.sub(r'href="[\w.]+"', "", text))


def counted(report):
    """Documents by class."""
    found = Counter()
    for row in rows(report, "classes"):
        found[row["class"]] += row["documents"]
    return found


@pytest.mark.parametrize("lang", LANGUAGES)
def test_own_classes_are_counted_and_shown_in_place_of_sentiment(tmp_path, lang):
    documents = own(160)
    here = [one for one in documents if one["created_at"].date() == DAY]
    labels = LabelSet(("PRODUCT", "TEAM"), OWN)
    report = made(tmp_path / "out", [documents[:70], documents[70:]], labels, lang=lang)
    assert (report.documents, report.disagreements) == (len(here), ()) == (20, ())
    assert counted(report) == Counter(one["sentiment"] for one in here)
    by_source = Counter((one["source"], one["sentiment"]) for one in here)
    assert {(row["source"], row["class"]): row["documents"] for row in rows(report, "classes")} == by_source
    assert {row["day"] for row in rows(report, "classes")} == {DAY}
    for name in ("sentiment", "entities", "volumes"):
        assert sum(row["documents"] for row in rows(report, name)) > 0
        assert {row[column] for row in rows(report, name) for column in MOODS} == {None}, name
    assert {row["negative_share"] for row in rows(report, "entities")} == {None}
    assert {row["sentiment"] for row in rows(report, "examples")} <= {*OWN}
    text = said(report)
    assert SAID.search(text) is None, SAID.search(text)
    shown = text.split(f"<h2>{TEXTS[lang]['classes']}</h2>")[1].split("</ul>")[0]
    assert re.findall(r"<bdi>(\w+)</bdi>.*?(\d+)</span><span class=\"lift\">([\d.]+ %)", shown) == [
        ("complaint", "10", "50 %"),
        ("praise", "10", "50 %"),
        ("question", "0", "0 %"),
    ]
    assert WITHOUT_MOODS[lang]["time"] in text
    assert "· <bdi>complaint</bdi>" in text, "of the latest documents, too"
    assert numbers_of(page(report))["documents"] == 20


def test_days_and_blocks_of_own_classes_add_up(tmp_path, monkeypatch):
    documents, labels = own(200), LabelSet(("PRODUCT", "TEAM"), OWN)
    first = date(2026, 11, 15)
    output = write_output(tmp_path / "out", [documents[:70], documents[70:80], documents[80:]], labels=labels)
    whole = make_report(str(output), first, DAY, str(tmp_path / "whole"))
    days = [make_report(str(output), *[first + timedelta(n)] * 2, str(tmp_path / f"{n}")) for n in range(8)]
    assert [row for day in days for row in rows(day, "classes")] == rows(whole, "classes")
    assert sum(counted(whole).values()) == whole.documents == 200
    monkeypatch.setattr(parts_module, "BLOCK_ROWS", 1)
    again = make_report(str(output), first, DAY, str(tmp_path / "again"))
    for name in TABLES:
        assert Path(again.tables[name]).read_bytes() == Path(whole.tables[name]).read_bytes(), name


@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_model_without_classes_or_words_has_a_report_of_the_rest(tmp_path, lang):
    documents = [{**one, "words": []} for one in own(80, ())]
    report = made(tmp_path / "out", [documents], LabelSet(("PRODUCT", "TEAM"), (), words=False), lang=lang)
    assert (report.documents, report.rows["classes"], report.disagreements) == (10, 0, ())
    assert {row[column] for row in rows(report, "sentiment") for column in MOODS} == {None}
    assert {row["sentiment"] for row in rows(report, "examples")} == {None}
    assert SAID.search(said(report)) is None
    assert 'id="classes"' not in page(report)
    assert "None" not in said(report)
    assert "Volta 3" in said(report)


def test_a_model_without_entities_has_a_report_of_its_classes(tmp_path):
    documents = [{**one, "entities": []} for one in own(80)]
    report = made(tmp_path / "out", [documents], LabelSet((), OWN))
    assert (report.rows["entities"], sum(counted(report).values())) == (0, 10)


def test_two_classes_negative_and_positive_are_a_sentiment(tmp_path):
    classes = ("negative", "positive")
    documents = own(80, (*classes, "unused"))
    for one in documents:
        one["sentiment_scores"] = {name: 0.75 if one["sentiment"] == name else 0.25 for name in classes}
    report = made(tmp_path / "out", [documents], LabelSet(sentiments=classes))
    assert counted(report) == {"negative": 5, "positive": 5}
    total = Counter()
    for row in rows(report, "sentiment"):
        total.update({name: row[name] for name in ("documents", *MOODS[:3])})
        assert row["mean_sentiment"] == (row["positive"] - row["negative"]) / row["documents"] / 2
    assert total == {"documents": 10, "negative": 5, "neutral": 0, "positive": 5}
    assert TEXTS["en"]["mean"] in said(report)
    assert 'id="classes"' not in page(report)


def test_the_usual_classes_are_in_the_table_and_the_page_is_as_it_was(tmp_path):
    report = make_report(str(write_output(tmp_path / "out", [made_up(200)])), None, None)
    totals = Counter()
    for row in rows(report, "sentiment"):
        totals.update({name: row[name] for name in SENTIMENTS})
    assert counted(report) == totals
    assert None in {row["day"] for row in rows(report, "classes")}
    assert 'id="classes"' not in page(report)
    assert "no-moods" not in re.sub(r"<style.*?</style>", "", page(report), flags=re.DOTALL)


def test_which_classes_are_a_sentiment():
    assert are_moods(SENTIMENTS)
    assert are_moods(("negative", "positive"))
    for others in ((), OWN, ("negative",), ("neutral", "positive"), (*SENTIMENTS, "mixed")):
        assert not are_moods(others), others


def test_more_classes_than_sentiments_are_no_sentiment(tmp_path):
    """A document is one of four: 'negative' among them says nothing of how the others are spread."""
    classes = (*SENTIMENTS, "mixed", "unused")
    report = made(tmp_path / "out", [own(80, classes)], LabelSet(sentiments=classes))
    assert {row["negative"] for row in rows(report, "sentiment")} == {None}
    assert sum(counted(report).values()) == 10
    assert 'id="classes"' in page(report)


def test_parts_of_models_with_other_classes_are_refused_by_name(tmp_path):
    usual = [document(f"u{n}", "2026-11-10T08:00:00") for n in range(4)]
    several = [LabelSet(), LabelSet(sentiments=OWN), LabelSet(sentiments=())]
    output = write_output(tmp_path / "out", [usual, own(8), own(8, ())], labels=several)
    with pytest.raises(OutputError, match=r"part-000001-00001 are complaint, praise, question but .*00002 have none.*--retag"):
        make_report(str(output), DAY, DAY)
    assert visible(output / "reports") == []
    with pytest.raises(OutputError, match=r"part-000001-00000 are negative, neutral, positive but .*00001 are complaint"):
        make_report(str(output), None, None)
    assert make_report(str(output), date(2026, 11, 10), date(2026, 11, 10)).documents == 4, "these days are of one model"
    assert make_report(str(output), date(2025, 1, 1), date(2025, 1, 1)).documents == 0


def test_classes_in_another_order_are_the_same(tmp_path):
    labels = [LabelSet(sentiments=OWN), LabelSet(sentiments=OWN[::-1])]
    report = make_report(str(write_output(tmp_path / "out", [own(40), own(40)], labels=labels)), None, None)
    assert counted(report) == {"complaint": 48, "praise": 32}


def test_own_types_are_called_as_they_are_and_can_be_chosen(tmp_path):
    kinds = ("constructor", "<b>Team & Co\u202e</b>")
    report = made(tmp_path / "out", [own(80, SENTIMENTS, kinds)], LabelSet((*kinds, "PER")))
    assert {row["label"] for row in rows(report, "entities")} == {*kinds}
    text = page(report)
    assert "<b>Team" not in text
    assert "<small>&lt;b&gt;Team &amp; Co&lt;/b&gt;</small>" in text
    assert "<td>constructor</td>" in text
    assert re.findall(r'<option value="([^"]*)">', text)[1:] == ["&lt;b&gt;Team &amp; Co\u202e&lt;/b&gt;", "constructor"]
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert data["labels"].keys() == {*kinds} == {row[1] for row in data["rows"]}


def test_hostile_and_many_classes_are_harmless(tmp_path):
    classes = ("<script>alert(1)</script>", "report", *(f"class {n}" for n in range(40)))
    report = made(tmp_path / "out", [own(16, classes)], LabelSet(sentiments=classes))
    text = page(report)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert text.split('id="classes"')[1].split("</ul>")[0].count("<li>") == 24
    assert TEXTS["en"]["classes_more"].format(n=18) in text
    assert "· <bdi>report</bdi>" in text, "and not what the page's words call a report"


def test_a_table_of_classes_that_lacks_documents_is_not_published(tmp_path, monkeypatch):
    plain = tables.plain
    monkeypatch.setattr(
        tables,
        "plain",
        lambda con: ((name, (one.slice(name == "classes") for one in some)) for name, some in plain(con)),
    )
    with pytest.raises(ReportError, match="in the table classes: 10 and"):
        made(tmp_path / "out", [own(80)], LabelSet(sentiments=OWN))


def test_both_languages_say_the_same_without_sentiment():
    for lang in LANGUAGES:
        assert WITHOUT_MOODS[lang].keys() == WITHOUT_MOODS["en"].keys() <= TEXTS[lang].keys()
        for key, text in WITHOUT_MOODS[lang].items():
            assert re.findall(r"{\w+}", text) == re.findall(r"{\w+}", TEXTS[lang][key]), key
            assert SAID.search(text) is None
