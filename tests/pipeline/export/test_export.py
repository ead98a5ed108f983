"""Promise: every document comes out once, in a form that the other tool reads, with its entities where the text has them."""

import csv
import json
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.factory.own.conll import read_conll
from pipeline.errors import ConfigError, OutputError
from pipeline.export import spacy_docs
from pipeline.export.brat import LONGEST_NAME, BratFolder, safe_name
from pipeline.export.export import export_documents
from pipeline.export.lines import ConllFile
from pipeline.export.spacy_docs import SpacyFiles
from pipeline.export.tokens import RunCounts, Token, TokenRun, runs_of, tokens_of
from pipeline.store.local import LocalStore
from tests.support.report_data import HOSTILE, document, made_up, visible, write_output


def entity(text, start, end, label="LOC"):
    return {"text": text[start:end], "label": label, "start": start, "end": end, "score": 0.9}


def at(text, part):
    start = text.index(part)
    return start, start + len(part)


def row(id, text, words, entities=(), **more):
    """A document with words and entities by their places in its text."""
    found = document(id, "2026-11-22T08:00:00", text=text, **more)
    found["words"] = [{"start": start, "end": end, "pos": pos} for start, end, pos in words]
    found["entities"] = [entity(text, *place, label) for *place, label in entities]
    return found


ZURICH = "Anna flew to Zürich-Nord.\n\n上海 too 😀"
DOCUMENT = row(
    "a/1", ZURICH,
    [(0, 4, "PROPN"), (5, 9, "VERB"), (10, 12, "ADP"), (13, 24, "PROPN"), (24, 25, "PUNCT"), (*at(ZURICH, "上海"), "PROPN")],
    [(0, 4, "PER"), (13, 19, "LOC"), (*at(ZURICH, "上海"), "LOC")],
)  # fmt: skip


def written(tmp_path, documents=(DOCUMENT,), **more):
    return LocalStore(write_output(tmp_path / "out", [list(documents), [document("z", None, source=None)]], **more))


def test_jsonl(tmp_path):
    made = export_documents(written(tmp_path, keep_text=False), str(tmp_path / "x.jsonl"), "jsonl")
    assert (made.documents, made.parts, made.entities) == (2, 2, None)
    first, last = map(json.loads, (tmp_path / "x.jsonl").read_text("utf-8").splitlines())
    assert list(first) == ["id", "source", "created_at", "lang", "entities", "sentiment", "sentiment_scores", "words"]
    assert (first["id"], first["created_at"]) == ("a/1", "2026-11-22T08:00:00Z")
    assert first["entities"][0] == {"text": "Anna", "label": "PER", "start": 0, "end": 4, "score": 0.9}
    assert first["words"][0] == {"start": 0, "end": 4, "pos": "PROPN"}
    assert (last["id"], last["source"], last["created_at"]) == ("z", None, None)
    assert visible(tmp_path) == ["out", "x.jsonl"]


def test_csv(tmp_path):
    documents = [DOCUMENT, *(row(text, text, []) for text in HOSTILE)]
    export_documents(written(tmp_path, documents), f"file://{tmp_path}/x.csv", "csv")
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as stream:
        found = {one["id"]: one for one in csv.DictReader(stream)}
    assert found.keys() == {"a/1", "z", *HOSTILE}
    assert [one["text"] for name, one in found.items() if name in HOSTILE] == [name for name in found if name in HOSTILE]
    assert found["a/1"]["text"] == ZURICH
    assert json.loads(found["a/1"]["entities"])[1]["text"] == "Zürich"
    assert json.loads(found["a/1"]["sentiment_scores"])["neutral"] == 0.6
    assert (found["z"]["source"], found["z"]["created_at"]) == ("", "")


def test_conll(tmp_path):
    made = export_documents(written(tmp_path), str(tmp_path / "x.conll"), "conll")
    assert (made.documents, made.entities, made.entities_widened, made.entities_left_out) == (2, 3, 1, 0)
    assert (tmp_path / "x.conll").read_text("utf-8").split("\n\n")[:2] == [
        "-DOCSTART-\ta/1\tO",
        "Anna\tPROPN\tB-PER\nflew\tVERB\tO\nto\tADP\tO\nZürich-Nord\tPROPN\tB-LOC\n.\tPUNCT\tO\n上海\tPROPN\tB-LOC\n"
        "too\tX\tO\n😀\tX\tO",
    ]
    with (tmp_path / "x.conll").open(encoding="utf-8") as stream:
        _, text, spans = next(read_conll(stream, "x.conll"))
    assert [(text[one.start : one.end], one.label) for one in spans] == [("Anna", "PER"), ("Zürich-Nord", "LOC"), ("上海", "LOC")]


def test_spacy(tmp_path):
    spacy = pytest.importorskip("spacy")
    from spacy.tokens import DocBin

    made = export_documents(written(tmp_path), str(tmp_path / "x.spacy"), "spacy")
    assert (made.documents, made.entities, made.entities_widened) == (2, 3, 1)
    docs = list(DocBin().from_disk(tmp_path / "x.spacy").get_docs(spacy.blank("xx").vocab))
    assert [doc.text for doc in docs] == [ZURICH, "-"]
    assert [(one.text, one.label_) for one in docs[0].ents] == [("Anna", "PER"), ("Zürich-Nord", "LOC"), ("上海", "LOC")]
    assert [(token.text, token.pos_) for token in docs[0]][3:6] == [("Zürich-Nord", "PROPN"), (".", "PUNCT"), ("\n\n", "SPACE")]
    assert docs[0].cats["neutral"] == pytest.approx(0.6)
    with_data = DocBin(store_user_data=True).from_disk(tmp_path / "x.spacy")
    assert next(iter(with_data.get_docs(spacy.blank("xx").vocab))).user_data["id"] == "a/1"


def test_a_folder_of_docbins_is_one_corpus(tmp_path, monkeypatch):
    spacy = pytest.importorskip("spacy")
    from spacy.training import Corpus

    store = LocalStore(write_output(tmp_path / "out", [made_up(20), [], made_up(7, seed=2)]))
    monkeypatch.setattr(spacy_docs, "MOST_TOKENS", 20)
    with pytest.raises(ConfigError, match="name a folder"):
        export_documents(store, str(tmp_path / "x.spacy"), "spacy")
    assert visible(tmp_path) == ["out"]
    export_documents(store, str(tmp_path / "corpus"), "spacy")
    assert {name[:17] for name in visible(tmp_path / "corpus")} == {"part-000001-00000", "part-000001-00002"}
    assert "part-000001-00000-2.spacy" in visible(tmp_path / "corpus")
    assert len(list(Corpus(tmp_path / "corpus", gold_preproc=False)(spacy.blank("xx")))) == 27


def test_brat(tmp_path):
    text = "Volta\r\nEnergy of Oslo"
    lines = row("../b", text, [], [(0, 13, "ORG"), (17, 21, "a place")])
    store = written(tmp_path, [DOCUMENT, lines, {**lines, "id": "..b"}, {**lines, "id": "_b"}])
    made = export_documents(store, str(tmp_path / "x"), "brat")
    names = [f"{name}.{suffix}" for name in ("_b-2", "_b", "a_1", "b", "z") for suffix in ("ann", "txt")]
    assert visible(tmp_path / "x") == sorted([*names, "annotation.conf"])
    assert (made.documents, made.entities, made.entities_left_out) == (5, 9, 0)
    assert (tmp_path / "x" / "a_1.txt").read_bytes().decode() == ZURICH
    assert (tmp_path / "x" / "b.ann").read_text("utf-8") == "T1\tORG 0 5;7 13\tVolta Energy\nT2\ta_place 17 21\tOslo\n"
    assert (tmp_path / "x" / "annotation.conf").read_text().split("\n\n")[0] == "[entities]\nLOC\nORG\nPER\na_place"
    for path in (tmp_path / "x").glob("*.ann"):
        text = path.with_suffix(".txt").read_bytes().decode()
        for line in path.read_text("utf-8").splitlines():
            _, places, said = line.split("\t")
            extents = [map(int, place.split()) for place in places.partition(" ")[2].split(";")]
            assert " ".join(text[start:end] for start, end in extents) == said


@given(st.text())
def test_ids_are_safe_as_names(name):
    safe = safe_name(name)
    assert re.fullmatch(r"[^./\\\s\0-][^/\\\s\0]*", safe)
    assert 0 < len(safe.encode()) <= LONGEST_NAME


@pytest.mark.parametrize("kind", ["jsonl", "csv", "conll", "brat"])
def test_a_filter(tmp_path, kind):
    documents = made_up(40)
    store = LocalStore(write_output(tmp_path / "out", [documents[:25], documents[25:]]))
    wanted = [one["id"] for one in documents if one["source"] == "news" and one["lang"] == "en"]
    made = export_documents(store, str(tmp_path / "x"), kind, "source = 'news' and tags.lang = 'en' -- these")
    assert made.documents == len(wanted) > 0
    if kind == "brat":
        assert {path.stem for path in (tmp_path / "x").glob("*.txt")} == {*wanted}
    else:
        text = (tmp_path / "x").read_text("utf-8")
        assert all(re.search(rf'^(\{{"id":"|-DOCSTART-\t|){name}[",\t]', text, re.MULTILINE) for name in wanted)


@pytest.mark.parametrize("kind", ["conll", "spacy", "brat"])
def test_texts_are_needed(tmp_path, kind):
    store = written(tmp_path, keep_text=False)
    with pytest.raises(ConfigError, match="--keep-text"):
        export_documents(store, str(tmp_path / "x"), kind)
    assert visible(tmp_path) == ["out"]


def test_what_is_refused(tmp_path):
    store = written(tmp_path)
    (tmp_path / "there").write_text("x")
    for destination, where, said in (
        (tmp_path / "there", "", "there already"),
        (tmp_path / "no" / "x", "", "a folder that is there"),
        ("s3://bucket/x", "", "of this machine"),
        (tmp_path / "x", "colour = 1", "colour"),
        (tmp_path / "x", "true; select 1", "Parser Error"),
    ):
        with pytest.raises(ConfigError, match=said):
            export_documents(store, str(destination), "jsonl", where)
    with pytest.raises(ConfigError, match="formats are jsonl"):
        export_documents(store, str(tmp_path / "x"), "xml")
    with pytest.raises(OutputError, match="no tags/"):
        export_documents(LocalStore(tmp_path / "no"), str(tmp_path / "x"), "jsonl")
    assert (visible(tmp_path), (tmp_path / "there").read_text()) == (["out", "there"], "x")


@pytest.mark.parametrize("kind", ["jsonl", "brat"])
def test_nothing_half_written_is_left(tmp_path, kind):
    seen = []

    def stop():
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_documents(written(tmp_path), str(tmp_path / "x"), kind, check=stop)
    assert all("x" not in names and len(names) == 2 for names in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_empty_outputs_have_empty_files(tmp_path):
    store = LocalStore(write_output(tmp_path / "out", [[]]))
    for kind, text in (("jsonl", ""), ("conll", ""), ("csv", "id,source,created_at,text,lang,entities,sentiment,")):
        export_documents(store, str(tmp_path / kind), kind)
        assert (tmp_path / kind).read_text().startswith(text)
    export_documents(store, str(tmp_path / "brat"), "brat")
    assert visible(tmp_path / "brat") == ["annotation.conf"]


# Texts with all that words are made of and lie between.
TEXTS = st.text(alphabet="ab é上海😀.,-\n\t\u00a0\u2028", max_size=40)


@st.composite
def documents(draw):
    """A text, its words (a part of it without spaces at the ends, sorted) and entities anywhere."""
    text = draw(TEXTS)
    places = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    words = [
        {"start": start, "end": end, "pos": "NOUN"}
        for start, end in pairwise(places)
        if text[start:end].strip() == text[start:end] and draw(st.booleans())
    ]
    entities = [
        entity(text, start, end, draw(st.sampled_from(["PER", "LOC"])))
        for start, end in draw(st.lists(st.tuples(st.integers(0, len(text)), st.integers(0, len(text))), max_size=4))
        if start < end
    ]
    return text, words, entities


@given(documents())
def test_tokens_hold_the_text_and_the_words(given_):
    text, words, entities = given_
    tokens = tokens_of(text, words)
    assert "".join("".join(text[one.start : one.end] for one in tokens).split()) == "".join(text.split())
    assert [(one.start, one.end) for one in tokens] == sorted({(one.start, one.end) for one in tokens})
    assert all(before.end <= after.start for before, after in pairwise(tokens))
    assert {(one["start"], one["end"]) for one in words} <= {(one.start, one.end) for one in tokens}
    held = {place for one in tokens for place in range(one.start, one.end)}
    assert held >= {place for place, c in enumerate(text) if not c.isspace()}
    counts = RunCounts()
    runs = runs_of(tokens, entities, counts)
    assert counts.entities == len(runs)
    assert counts.entities + counts.left_out == len(entities)
    for one in entities:
        # None is lost: its letters are in a run, its own or that of a longer one.
        mine = {n for n, t in enumerate(tokens) if t.start < one["end"] and one["start"] < t.end}
        assert not mine or any(mine & {*range(run.first, run.last)} for run in runs)


@settings(max_examples=60)
@given(given_=documents())
def test_words_and_entities_survive_conll(tmp_path_factory, given_):
    text, words, entities = given_
    path = tmp_path_factory.mktemp("conll") / "x"
    counts = RunCounts()
    file = ConllFile(path, counts)
    file.add([("id 1", text, entities, words)], "part")
    file.finish()
    lines = [line.split("\t") for line in path.read_text("utf-8").split("\n") if line]
    assert lines[0] == ["-DOCSTART-", "id_1", "O"]
    tokens = tokens_of(text, words)
    assert [line[0] for line in lines[1:]] == [re.sub(r"\s+", "_", text[one.start : one.end]) for one in tokens]
    runs, begun = [], None
    for number, (_, _, tag) in enumerate([*lines[1:], ("", "", "O")]):
        if begun is not None and not tag.startswith("I-"):
            runs.append(TokenRun(begun, number, lines[1 + begun][2][2:]))
            begun = None
        begun = number if tag.startswith("B-") else begun
    assert runs == runs_of(tokens, entities, RunCounts())


@settings(max_examples=60)
@given(given_=documents())
def test_texts_survive_spacy(tmp_path_factory, given_):
    spacy = pytest.importorskip("spacy")
    from spacy.tokens import DocBin

    text, words, entities = given_
    path = tmp_path_factory.mktemp("spacy") / "x.spacy"
    counts = RunCounts()
    files = SpacyFiles(path, False, counts)
    files.add([("1", text, entities, words, None, None, "en", None)], "part")
    files.finish()
    (doc,) = DocBin().from_disk(path).get_docs(spacy.blank("xx").vocab)
    assert doc.text == text
    assert len(doc.ents) == counts.entities
    assert all(one.text == one.text.strip() for one in doc.ents)


def test_widening_by_example():
    tokens = [Token(0, 3, "X"), Token(4, 9, "X")]
    counts = RunCounts()
    text = "abc defgh "
    found = runs_of(tokens, [entity(text, 5, 7), entity(text, 8, 9), entity(text, 3, 4), entity(text, 0, 3, "PER")], counts)
    assert found == [TokenRun(0, 1, "PER"), TokenRun(1, 2, "LOC")]
    assert (counts.entities, counts.widened, counts.left_out) == (2, 1, 2)


def test_names_of_many_equal_ids(tmp_path):
    folder = BratFolder(tmp_path / "x", RunCounts())
    folder.add([("same", "a", [])] * 50 + [("same-3", "b", [])], "part")
    assert len(list((tmp_path / "x").glob("*.txt"))) == len(list((tmp_path / "x").glob("*.ann"))) == 51
