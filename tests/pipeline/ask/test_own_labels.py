"""Questions over the tags of a user's own model: its types and classes are filtered by, and no sentiment is made up."""

from datetime import date

import pytest

from models.runtime.labels import LabelSet
from pipeline.ask.counting import count_answer
from pipeline.ask.generations import read_generation
from pipeline.ask.index import build_index, labels_of
from pipeline.ask.intents import Intent, intents_of
from pipeline.ask.replies import passage_reply
from pipeline.ask.search import Filters, PassageIndex, split_entity
from pipeline.errors import ConfigError, OutputError
from pipeline.store.local import LocalStore
from tests.support.report_data import document, write_output

OWN = ("complaint", "praise", "question")
LABELS = LabelSet(("PRODUCT", "part: small"), OWN)
SENTIMENT = intents_of("How negative is Volta 3?", date(2026, 11, 27))


def own(number, text, kind, label="PRODUCT", classes=OWN):
    return document(f"d{number}", "2026-11-22T08:00:00", [(text[:7], label)], kind, text=text, classes=classes)


DOCUMENTS = [
    own(1, "Volta 3 has a broken battery.", "complaint"),
    own(2, "Volta 3 has a fine battery.", "praise"),
    own(3, "Screw 9 holds the battery.", "praise", "part: small"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An output of own labels, and its index."""
    return built(tmp_path_factory.mktemp("own"), [DOCUMENTS], LABELS)


def built(folder, rows_of, labels):
    write_output(folder / "out", rows_of, labels=labels)
    build_index(LocalStore(folder / "out"), folder / "answers", embedder=None)
    return folder


def found(world, **filters):
    return sorted(one.id for one in PassageIndex(world / "answers").search("battery", filters=Filters(**filters)))


def counted(world, *intents, **filters):
    answer = count_answer(intents, LocalStore(world / "out"), Filters(**filters))
    return None if answer is None else answer.table.to_pylist()


def test_own_types_and_classes_can_be_filtered_by(world):
    assert found(world) == ["d1", "d2", "d3"]
    assert found(world, sentiment="praise") == ["d2", "d3"]
    assert found(world, sentiment="question") == [], "a class of the model that no document has"
    assert found(world, entity="PRODUCT:volta 3") == found(world, entity="Volta 3") == ["d1", "d2"]
    assert found(world, entity="part: small:Screw 9") == ["d3"]
    assert found(world, entity="PER:Volta 3") == []
    with pytest.raises(ConfigError, match="no sentiment 'negative'; there are complaint, praise, question"):
        found(world, sentiment="negative")
    facets = PassageIndex(world / "answers").facets
    assert facets["sentiments"] == [["praise", 2], ["complaint", 1]]
    assert facets["entities"] == [["PRODUCT:volta 3", 2], ["part: small:screw 9", 1]]


def test_what_is_counted_of_own_labels_is_right_and_the_rest_is_read(world):
    count = Intent("count", "Volta 3")
    assert counted(world, count) == [{"documents": 2}]
    assert counted(world, count, sentiment="complaint") == [{"documents": 1}]
    assert counted(world, count, sentiment="question") == [{"documents": 0}]
    assert counted(world, count, entity="PRODUCT:Volta 3") == [{"documents": 2}]
    assert counted(world, count, entity="part: small:Volta 3") == [{"documents": 0}]
    assert counted(world, *SENTIMENT) is None
    assert counted(world, *SENTIMENT, sentiment="praise") is None
    assert counted(world, count, sentiment="negative") is None
    assert counted(world, Intent("top", "", "ORG")) is None, "no companies here: no table of nothing"
    assert counted(world, Intent("together", "Volta 3", "PER")) is None
    assert counted(world, Intent("top")) == [
        {"name": "Volta 3", "label": "PRODUCT", "documents": 2},
        {"name": "Screw 9", "label": "part: small", "documents": 1},
    ]


def test_documents_without_classes_are_found_and_have_none(tmp_path):
    labels = LabelSet(("PRODUCT",), (), words=False)
    built(tmp_path, [[own(1, "Volta 3 has a broken battery.", None, classes=())]], labels)
    index = PassageIndex(tmp_path / "answers")
    (passage,) = index.search("battery")
    assert passage_reply(passage)["sentiment"] is None
    assert index.facets["sentiments"] == []
    with pytest.raises(ConfigError, match="no sentiment 'positive'; there are none here"):
        index.search("battery", filters=Filters(sentiment="positive"))
    assert counted(tmp_path, *SENTIMENT) is None
    assert counted(tmp_path, Intent("count", "Volta 3")) == [{"documents": 1}]
    assert counted(tmp_path, Intent("count", "Volta 3"), sentiment="positive") is None


def test_two_classes_are_a_sentiment(tmp_path):
    classes = ("negative", "positive")
    rows = [own(n, "Volta 3 has a battery.", classes[n == 0], classes=classes) for n in range(3)]
    write_output(tmp_path / "out", [rows], labels=LabelSet(sentiments=classes))
    assert counted(tmp_path, *SENTIMENT) == [
        {"documents": 3, "negative": 2, "neutral": 0, "positive": 1, "negative_share": pytest.approx(0.6667)}
    ]


@pytest.mark.parametrize("usual_first", [True, False])
def test_parts_of_models_with_other_classes_have_no_common_sentiment(tmp_path, usual_first):
    usual = [document("u1", "2026-11-01T08:00:00", [("Volta 3", "ORG")], "negative", text="Volta 3 fell, battery and all.")]
    parts = [(usual, LabelSet()), (DOCUMENTS, LABELS)]
    rows_of, labels = zip(*(parts if usual_first else parts[::-1]), strict=True)
    built(tmp_path, list(rows_of), list(labels))
    assert counted(tmp_path, *SENTIMENT) is None
    assert counted(tmp_path, Intent("count", "Volta 3")) == [{"documents": 3}]
    assert counted(tmp_path, Intent("count", "Volta 3"), sentiment="negative") == [{"documents": 1}]
    assert counted(tmp_path, Intent("count", "Volta 3"), sentiment="complaint") == [{"documents": 1}]
    assert counted(tmp_path, Intent("top", "", "ORG")) == [{"name": "Volta 3", "label": "ORG", "documents": 1}]
    assert found(tmp_path, sentiment="negative") == ["u1"]
    assert found(tmp_path, entity="ORG:Volta 3") == ["u1"]
    assert found(tmp_path, entity="PRODUCT:Volta 3") == ["d1", "d2"]
    assert PassageIndex(tmp_path / "answers").classes == (*sorted((*OWN, "negative", "neutral", "positive")),)


def test_an_index_from_before_there_were_own_labels_has_those_of_the_shipped_models(world):
    generation = read_generation(LocalStore(world / "answers"), 1)
    assert labels_of(generation) == (("PRODUCT", "part: small"), OWN)
    generation.about.pop("types")
    generation.about.pop("classes")
    assert labels_of(generation) == (("LOC", "MISC", "ORG", "PER"), ("negative", "neutral", "positive"))


def test_what_is_added_keeps_the_types_that_were_there(tmp_path):
    built(tmp_path, [DOCUMENTS[:2]], LABELS)
    assert PassageIndex(tmp_path / "answers").types == ("PRODUCT",)
    more = write_output(tmp_path / "more", [DOCUMENTS[:2], DOCUMENTS[2:]], labels=LABELS)
    part = "tags/part-000001-00001.parquet"
    (more / part).rename(tmp_path / "out" / part)
    build_index(LocalStore(tmp_path / "out"), tmp_path / "answers", embedder=None)
    assert PassageIndex(tmp_path / "answers").types == ("PRODUCT", "part: small")


def test_a_name_with_a_colon_is_split_only_at_a_type():
    types = ("PRODUCT", "A", "A:B")
    assert split_entity("PRODUCT:Volta", types) == ("PRODUCT", "Volta")
    assert split_entity("A:B:x", types) == ("A:B", "x")
    assert split_entity("A:C:x", types) == ("A", "C:x")
    assert split_entity("Star Wars: A New Hope", types) == ("", "Star Wars: A New Hope")
    assert split_entity("PRODUCT", types) == ("", "PRODUCT")


def test_a_broken_part_is_said_to_be_one(tmp_path):
    (tmp_path / "out" / "tags").mkdir(parents=True)
    (tmp_path / "out" / "tags" / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(OutputError, match="cannot be read"):
        counted(tmp_path, *SENTIMENT)
