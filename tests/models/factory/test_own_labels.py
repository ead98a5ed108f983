"""Training on a user's own labels: what is read, what is refused, what is learned and what stays."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from models.errors import FactoryError, LabelledDataError, ModelMissingError
from models.factory.examples import IGNORE
from models.factory.own.conll import read_conll
from models.factory.own.documents import Columns, OwnDocument, read_documents
from models.factory.own.encoding import encode_documents
from models.factory.own.heads import with_labels
from models.factory.own.measures import Judged, errors_of, figures_of
from models.factory.own.spans import LabelledSpan
from models.factory.own.split import labels_of, split, warnings_of
from models.factory.own.train import OwnTraining, train
from models.factory.shipped import unrounded
from models.runtime.labels import LABELS, SENTIMENTS, LabelSet
from models.runtime.load import load, load_one
from models.runtime.package import open_package
from models.runtime.router import LanguageRouter

TICKETS = Path("examples/own-labels/tickets.jsonl")
OWN = LabelSet(("PART", "PRODUCT"), ("complaint", "praise"))


@pytest.fixture(scope="module")
def fast():
    return load_one("en-fast", threads=1)


def documents(path: Path, name: str, content: str) -> list[OwnDocument]:
    (path / name).write_text(content, encoding="utf-8")
    return read_documents([path / name], Columns())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"text": "The lid broke", "entities": [{"start": 4, "end": 7, "label": "PART"}], "label": "complaint"}\n\n'),
        ("a.jsonl", '\ufeff{"text": "The lid broke", "entities": [[4, 7, "PART"]], "label": ["complaint"]}'),
        ("a.ndjson", '{"text": "The lid broke", "entities": [{"start": 3, "end": 8, "type": "PART"}], "label": "complaint "}'),
    ],
)
def test_json_lines_are_read(tmp_path, name, content):
    assert documents(tmp_path, name, content) == [OwnDocument("The lid broke", (LabelledSpan(4, 7, "PART"),), "complaint")]


def test_spans_under_label_and_unlabelled_documents_are_read(tmp_path):
    lines = [{"text": "The lid", "label": [[4, 7, "PART"]]}, {"text": "x", "label": None}, {"text": "y", "entities": []}]
    found = documents(tmp_path, "a.jsonl", "\n".join(map(json.dumps, lines)))
    assert found == [OwnDocument("The lid", (LabelledSpan(4, 7, "PART"),)), OwnDocument("x"), OwnDocument("y", ())]


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ","), ("a.tsv", "\t")])
def test_tables_are_read(tmp_path, name, mark):
    rows = [("id", "label", "text"), ("1", "complaint", '"The lid, again,\nbroke"'), ("2", "", "so what")]
    found = documents(tmp_path, name, "\n".join(mark.join(row) for row in rows))
    assert found == [OwnDocument("The lid, again,\nbroke", None, "complaint"), OwnDocument("so what")]


@pytest.mark.parametrize(
    "tags", ["O B-PART I-PART O B-PART", "O I-PART I-PART O I-PART", "O B-PART E-PART O S-PART", "O B-PART L-PART O U-PART"]
)
def test_columns_of_every_scheme_are_read(tmp_path, tags):
    lines = [f"{word} x {tag}" for word, tag in zip("The left hinge and lid".split(), tags.split(), strict=True)]
    content = "-DOCSTART- O\n\n# a comment\n" + "\n".join(lines) + "\n\n# O\n"
    found = documents(tmp_path, "a.conll", content)
    spans = (LabelledSpan(4, 14, "PART"), LabelledSpan(19, 22, "PART"))
    assert found == [OwnDocument("The left hinge and lid", spans), OwnDocument("#", ())]


def test_chinese_characters_are_joined_without_spaces(tmp_path):
    (found,) = documents(tmp_path, "a.bio", "盖\tB-PART\n子\tI-PART\n坏\tO\nX2\tB-PRODUCT\n")
    assert found == OwnDocument("盖子坏X2", (LabelledSpan(0, 2, "PART"), LabelledSpan(3, 5, "PRODUCT")))


words = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=5).filter(lambda w: w != "#")
tagged = st.lists(st.tuples(words, st.sampled_from("O B-A I-A B-B I-B E-A S-B".split())), min_size=1, max_size=8)


@given(st.lists(tagged, min_size=1, max_size=4))
def test_every_tagged_word_is_inside_an_entity(sentences):
    lines = [line for sentence in sentences for line in (*(f"{word}\t{tag}" for word, tag in sentence), "")]
    found = list(read_conll(lines, "x"))
    assert len(found) == len(sentences)
    for (_, text, spans), sentence in zip(found, sentences, strict=True):
        assert text.replace(" ", "") == "".join(word for word, _ in sentence)
        inside = "".join(text[span.start : span.end].replace(" ", "") for span in spans)
        assert inside == "".join(word for word, tag in sentence if tag != "O")
        assert all(a.end <= b.start for a, b in pairwise(spans))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "ok"}\nnot json\n', r"a.jsonl, line 2: no JSON"),
        ("a.jsonl", "[1]", r"line 1: a JSON list"),
        ("a.jsonl", '{"body": "x"}', r"line 1: no string 'text'; --text-column"),
        ("a.jsonl", '{"text": "x", "label": 3}', r"line 1: its class is a int.*--label-column"),
        ("a.jsonl", '{"text": "x", "label": ["a", "b"]}', r"line 1: 2 classes \(a, b\)"),
        ("a.jsonl", '{"text": "x", "entities": 3}', r"line 1: entities must be a list"),
        ("a.jsonl", '{"text": "x", "entities": [{"start": 0}]}', r"line 1: .*is no entity; write"),
        ("a.jsonl", '{"text": "abc", "entities": [[1, 9, "A"]]}', r"line 1: entity 1 to 9 is not inside the text, which has 3"),
        ("a.jsonl", '{"text": "a  c", "entities": [[1, 3, "A"]]}', r"holds white space alone"),
        ("a.jsonl", '{"text": "abc", "entities": [[0, 2, "A"], [1, 3, "B"]]}', r"0 to 2 \(A\) and 1 to 3 \(B\) overlap"),
        ("a.jsonl", '{"text": "abc", "entities": [[0, 2, "O"]]}', r"'O' cannot be the type"),
        ("a.csv", "id,body,label\n1,x,y\n", r"no column 'text' in its header \(id, body, label\); --text-column"),
        ("a.csv", "text,label\nx\n", r"a.csv, line 2: 2 columns in the header"),
        ("a.csv", 'text,label\n"x,y\n', r"a.csv, line 2: unexpected end"),
        ("a.conll", "Word\n", r"a.conll, line 1: 'Word' has no tag"),
        ("a.conll", "A O\nB NOUN\n", r"a.conll, line 2: 'NOUN' is no tag"),
        ("a.xlsx", "x", r"a.xlsx: its name ends in none of"),
        ("a.csv.gz", "x", r"a.csv.gz: cannot be read"),
    ],
)
def test_bad_labels_are_refused_with_their_place(tmp_path, name, content, message):
    with pytest.raises(LabelledDataError, match=message):
        documents(tmp_path, name, content)


def test_folders_are_read_in_order_and_empty_ones_refused(tmp_path):
    with pytest.raises(LabelledDataError, match="no file in it"):
        read_documents([tmp_path], Columns())
    for name in ("b.jsonl", "a.jsonl"):
        documents(tmp_path, name, json.dumps({"text": name}))
    (tmp_path / "SOURCE").write_text("where it is from")
    assert [document.text for document in read_documents([tmp_path], Columns())] == ["a.jsonl", "b.jsonl"]
    with pytest.raises(LabelledDataError, match="no such file"):
        read_documents([tmp_path / "c.jsonl"], Columns())


def test_labels_lie_on_the_units_that_they_touch(fast):
    texts = [
        OwnDocument("My Halden X2's lid", (LabelledSpan(3, 12, "PRODUCT"), LabelledSpan(15, 18, "PART")), "praise"),
        OwnDocument("", (), "praise"),
        OwnDocument("Halden-X2 it is", (LabelledSpan(0, 2, "PRODUCT"),)),
        OwnDocument("nobody marked this", None, "complaint"),
    ]
    found = encode_documents(texts, fast, OWN)
    examples = found.examples
    assert found.widened == 1, "Ha of Halden"
    assert examples.sentiment.tolist() == [1, IGNORE, 0], "an empty text has nothing to learn from"
    tags = examples.tags[examples.units]
    pieces = fast.tokenizer.encode([text.text for text in texts])
    units = np.flatnonzero(pieces.units)
    doc = np.searchsorted(pieces.offsets, units, side="right") - 1
    by_word = {(d, s): int(t) for d, s, t in zip(doc.tolist(), pieces.starts[units].tolist(), tags.tolist(), strict=True)}
    assert [by_word[0, at] for at in (0, 3, 10, 15)] == [0, 3, 4, 1]
    assert by_word[2, 0] == 3
    assert {tag for (d, _), tag in by_word.items() if d == 3} == {IGNORE}


def test_long_texts_are_learned_whole(fast):
    text = "The hinge of my Halden broke again. " * 60
    spans = tuple(LabelledSpan(at, at + 6, "PRODUCT") for at in range(len(text)) if text.startswith("Halden", at))
    examples = encode_documents([OwnDocument(text, spans, "complaint")], fast, OWN).examples
    assert examples.lengths.max() <= fast.window
    assert len(examples) > 3
    assert set(examples.sentiment.tolist()) == {0}
    assert int((examples.tags == 3).sum()) >= len(spans), "windows overlap, so some are seen twice"


def test_what_is_known_already_stays_to_the_bit():
    start, after = unrounded(open_package("en-fast")), LabelSet(("LOC", "PRODUCT"), ("negative", "odd", "positive"))
    model = with_labels(start, LABELS, after)
    ids, cases = torch.randint(1000, 2000, (2, 7)), torch.zeros(2, 7, dtype=torch.long)
    with torch.inference_mode():
        (old, moods), (new, classes) = start(ids, cases, None), model(ids, cases, None)
    tags = LABELS.entity_tags
    assert torch.equal(new[..., :3], old[..., [0, tags.index("B-LOC"), tags.index("I-LOC")]])
    assert torch.equal(new[..., after.upos_slice], old[..., LABELS.upos_slice])
    assert torch.equal(new[..., after.join_slice], old[..., LABELS.join_slice])
    assert torch.equal(classes[:, [0, 2]], moods[:, [0, 2]])
    assert new.shape[-1] == after.token_outputs
    assert not model.config.transitions
    same = with_labels(start, LABELS, replace(LABELS, sentiments=("a", "b")))
    assert same.config.transitions == start.config.transitions


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["x", "y"])), min_size=20, max_size=60), st.integers(0, 9))
def test_equal_texts_are_on_one_side(rows, seed):
    every = [OwnDocument(text, None, label) for text, label in rows]
    assume(len({text for text, _ in rows}) > 4)  # of fewer there may be none to measure on
    learned, measured = split(every, 0.5, seed)
    assert sorted(d.text for d in learned + measured) == sorted(d.text for d in every)
    assert not {d.text for d in learned} & {d.text for d in measured}


def test_a_share_of_each_class_is_held_out():
    every = [OwnDocument(str(n), (), "a" if n % 4 else "b") for n in range(200)]
    learned, measured = split(every, 0.2, 1)
    assert (len(learned), len(measured)) == (160, 40)
    assert sum(d.label == "b" for d in measured) == 10
    assert split(every, 0.2, 1) == (learned, measured)
    with pytest.raises(LabelledDataError, match="19 labelled documents; at least 20"):
        split(every[:19], 0.2, 1)


@given(st.integers(0, 30))
def test_a_rare_type_is_learned_whatever_the_seed(seed):
    every = [OwnDocument(str(n), (LabelledSpan(0, 1, "RARE" if n == 3 else "A"),)) for n in range(20)]
    learned, measured = split(every, 0.3, seed)
    assert every[3] in learned
    assert measured
    assert labels_of(learned, measured, LABELS).entities == ("A", "RARE")


def test_something_is_left_to_measure_on(tmp_path):
    every = [OwnDocument(str(n), None, f"class {n // 4}") for n in range(20)]
    with pytest.raises(LabelledDataError, match="5% of 20 documents leaves none to measure on"):
        split(every, 0.05, 1)
    with pytest.raises(LabelledDataError, match="no document to measure on"):
        train(every, [], tmp_path / "model", OwnTraining(), lambda line: None)
    assert not any(tmp_path.iterdir())


def test_labels_that_cannot_be_learned_are_refused():
    some, others = OwnDocument("x", (LabelledSpan(0, 1, "A"),), "p"), OwnDocument("y", (), "q")
    assert labels_of([some, others], [], LABELS) == LabelSet(("A",), ("p", "q"))
    assert labels_of([OwnDocument("x", (LabelledSpan(0, 1, "A"),))], [], LABELS).sentiments == SENTIMENTS
    with pytest.raises(LabelledDataError, match="every class is 'p'"):
        labels_of([some], [], LABELS)
    with pytest.raises(LabelledDataError, match="no document has an entity or a class"):
        labels_of([OwnDocument("x")], [], LABELS)
    with pytest.raises(LabelledDataError, match="nothing is learned of: B, r"):
        labels_of([some, others], [OwnDocument("z", (LabelledSpan(0, 1, "B"),), "r")], LABELS)
    with pytest.raises(LabelledDataError, match="differ in capitals alone: Q, q"):
        labels_of([some, others, OwnDocument("x", None, "Q")], [], LABELS)
    with pytest.raises(LabelledDataError, match="at most 120"):
        labels_of([OwnDocument(str(n), None, str(n)) for n in range(121)], [], LABELS)


def test_a_user_hears_of_what_is_odd():
    rows = [
        OwnDocument("x", (LabelledSpan(0, 1, "A"),), "p"),
        OwnDocument("x", (), "q"),
        *[OwnDocument(str(n), None, "q") for n in range(9)],
    ]
    assert warnings_of(rows, [rows[0], OwnDocument("new")], 2) == [
        "A: only 1 to learn from",
        "p: only 1 to learn from",
        "1 texts occur more than once, with other labels each time",
        "1 of 2 documents to measure on are learned from, too: the figures flatter",
        "2 entities begin or end inside a word; they are learned as whole words",
    ]


def test_figures_count_exact_spans_and_classes():
    gold = [
        OwnDocument("abcd", (LabelledSpan(0, 1, "A"), LabelledSpan(2, 3, "B")), "p"),
        OwnDocument("efgh", (), "q"),
        OwnDocument("i", None, "p"),
    ]
    found = [
        Judged(gold[0], (LabelledSpan(0, 1, "A"), LabelledSpan(2, 4, "B")), (0.9, 0.8), "p", 0.9),
        Judged(gold[1], (LabelledSpan(0, 1, "A"),), (0.6,), "p", 0.6),
        Judged(gold[2], (LabelledSpan(0, 1, "A"),), (0.5,), "p", 0.7),  # nobody has marked entities there: none is wrong
    ]
    figures = figures_of(found)
    assert figures["entities"]["precision"] == 33.3
    assert figures["entities"]["recall"] == 50.0
    assert figures["entities"]["f1"] == 40.0
    assert figures["entities"]["each"]["A"] == {"precision": 50.0, "recall": 100.0, "f1": 66.7, "count": 1}
    assert figures["classes"]["accuracy"] == 66.7
    assert figures["classes"]["each"]["q"] == {"precision": None, "recall": 0.0, "f1": 0.0, "count": 1}
    assert figures["classes"]["macro_f1"] == 40.0  # of 80 and 0
    wrong = errors_of(found)
    assert [row["text"] for row in wrong] == ["abcd", "efgh"]
    assert wrong[0]["missed"] == [{"text": "c", "start": 2, "end": 3, "label": "B"}]
    assert (wrong[1]["label"], wrong[1]["found"]) == ("q", "p")


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
    """The worked example of the documentation, read fewer times than by default."""
    folder = tmp_path_factory.mktemp("own") / "tickets"
    about = train(read_documents([TICKETS], Columns()), None, folder, OwnTraining(epochs=12), lambda line: None)
    return folder, about


@pytest.mark.timeout(600)
def test_two_hundred_documents_are_enough(tickets):
    folder, about = tickets
    assert about["documents"] == {"learned": 160, "held out": 40}
    assert about["figures"]["entities"]["f1"] > 70
    assert about["figures"]["classes"]["macro_f1"] > 60
    assert abs(about["figures"]["entities"]["f1"] - about["float_figures"]["entities"]["f1"]) < 6, "8 bits cost little"
    card = (folder / "card.md").read_text()
    assert f"| **all entities** | {about['figures']['entities']['precision']} |" in card
    assert "Taught on from `en-fast` with 160 labelled documents" in card
    errors = [json.loads(line) for line in (folder / "errors.jsonl").read_text().splitlines()]
    assert len(errors) == about["wrong"]
    tagger = load(folder, threads=1)
    row = tagger.tag(["The lid of my Halden X2 drill cracked in Leeds."]).to_pylist()[0]
    assert row["sentiment"] in ("complaint", "praise", "question")
    assert {entity["label"] for entity in row["entities"]} <= {"PART", "PLACE", "PRODUCT"}
    assert [word["pos"] for word in row["words"]][:3] == ["DET", "NOUN", "ADP"], "words are tagged as before"
    assert open_package(folder).labels == LabelSet(("PART", "PLACE", "PRODUCT"), ("complaint", "praise", "question"))


@pytest.mark.timeout(600)
def test_own_labels_reach_parquet_and_the_report(tickets, tmp_path):
    folder, _ = tickets
    out = tmp_path / "out"
    command = [sys.executable, "-m", "jobs"]
    subprocess.run([*command, "tag", TICKETS, out, "--model", folder, "--id-column", "id"], check=True, capture_output=True)
    table = pq.read_table(out / "tags").to_pylist()
    assert len(table) == 200
    assert {row["sentiment"] for row in table} == {"complaint", "praise", "question"}
    assert {entity["label"] for row in table for entity in row["entities"]} == {"PART", "PLACE", "PRODUCT"}
    assert all(abs(sum(row["sentiment_scores"].values()) - 1) < 1e-5 for row in table)
    subprocess.run([*command, "report", out], check=True, capture_output=True)
    page = (out / "reports/all/index.html").read_text()
    assert "PRODUCT" in page
    assert "complaint" in page
    shown = subprocess.run([*command, "show", out], check=True, capture_output=True, text=True).stdout
    assert "complaint" in shown


def test_models_of_other_classes_do_not_tag_into_one_output(tickets):
    folder, _ = tickets
    with pytest.raises(ModelMissingError, match=r"other classes of texts, .complaint, praise, question. and .negative"):
        LanguageRouter([load(folder, threads=1), load_one("zh", threads=1)])


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(FactoryError, match="is not empty"):
        train([], None, tmp_path, OwnTraining(), lambda line: None)
    assert (tmp_path / "kept.txt").read_text() == "mine"
