"""Texts that were not kept are read again from the input: each row gets its own text, or an error says what to do."""

import gzip
import json
import os
import random
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.ask.index import build_index, embedder_of
from pipeline.ask.search import PassageIndex
from pipeline.ask.source_texts import SourceTexts
from pipeline.errors import InputChangedError, InputGoneError, OutputError
from pipeline.sink.layout import TAGS
from pipeline.source.tables import stop_reader_processes
from pipeline.store.local import LocalStore
from tests.support.runs import run
from tests.support.small_embedder import write_embedder

PLACES = ["Oslo", "Cork", "Lyon", "Porto", "Quito"]


def documents(rng, count, ids):
    """Documents of which many have one id, source and time."""
    for number in range(count):
        text = f"Anna Berg went to {rng.choice(PLACES)} {number} times. " + "It was fine. " * rng.randrange(5)
        if rng.random() < 0.1:
            text = f"Страница {number} без перевода и без смысла"  # filtered: no model reads it
        if rng.random() < 0.1:
            text = None  # a dead letter
        made = {"id": f"d{rng.randrange(ids)}", "text": text, "source": rng.choice("ab")}
        yield {**made, "created_at": f"2026-11-0{rng.randrange(1, 4)}T12:00:00Z"} if rng.random() < 0.8 else made


def write_all_formats(folder, rng, count=60, ids=10):
    """The same kind of documents in plain lines, in pieces of a packed file, in members of an archive, and as a table."""
    folder.mkdir(parents=True)

    def lines():
        return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in documents(rng, count, ids)).encode()

    (folder / "a.jsonl").write_bytes(lines())
    (folder / "b.jsonl.gz").write_bytes(b"".join(gzip.compress(lines()) for _ in range(4)))
    with zipfile.ZipFile(folder / "c.zip", "w") as archive:
        for name in ("one.jsonl", "two.jsonl"):
            archive.writestr(name, lines())
    pq.write_table(pa.Table.from_pylist(list(documents(rng, count, ids))), folder / "d.parquet", row_group_size=7)
    (folder / "e.txt").write_text("One line of text.\nOne line of text.\nAnother, with Anna Berg.\n")


def texts_of(output):
    """The texts of every part by name, read again, and those that are kept."""
    store = LocalStore(output)
    source = SourceTexts(store, None, lambda: None)
    again, kept = {}, {}
    for entry in store.list(TAGS):
        with store.open_read(entry.path) as stream:
            again[entry.path] = source.of(entry.path, stream)
            stream.seek(0)
            table = pq.read_table(stream)
            kept[entry.path] = table["text"].to_pylist()
    stop_reader_processes()
    return again, kept


@pytest.mark.parametrize("seed", range(3))
def test_each_row_gets_the_text_that_was_tagged(tmp_path, seed):
    """Of a run that has kept the texts all are known; the ones that are read again are equal, row by row."""
    write_all_formats(tmp_path / "in", random.Random(seed))
    result = run(tmp_path / "in", tmp_path / "out", keep_text=True, split_tokens=1500)
    assert result.dead_letters > 0 < result.filtered
    again, kept = texts_of(tmp_path / "out")
    assert len(again) > 3
    assert again == kept


def test_files_that_were_tagged_again_and_those_that_are_new(tmp_path):
    rng = random.Random(7)
    write_all_formats(tmp_path / "in", rng)
    run(tmp_path / "in", tmp_path / "out", keep_text=True)
    (tmp_path / "in" / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in documents(rng, 20, 3)))
    (tmp_path / "in" / "f.jsonl").write_text("".join(json.dumps(one) + "\n" for one in documents(rng, 20, 3)))
    run(tmp_path / "in", tmp_path / "out", keep_text=True, retag_files=["a.jsonl"])
    again, kept = texts_of(tmp_path / "out")
    assert again == kept


def test_an_index_without_kept_texts_is_that_with_them(tmp_path):
    write_all_formats(tmp_path / "in", random.Random(5))
    found = []
    for name, keep in (("kept", True), ("bare", False)):
        run(tmp_path / "in", tmp_path / name, keep_text=keep, split_tokens=1500, clean="html")
        build_index(LocalStore(tmp_path / name), tmp_path / f"answers-{name}", embedder=None)
        passages = PassageIndex(tmp_path / f"answers-{name}").search("anna berg oslo line fine text", 5000)
        found.append(sorted((p.part, p.row, p.start, p.id, p.text) for p in passages))
    assert len(found[0]) > 200
    assert found[0] == found[1]


@pytest.fixture
def bare(tmp_path):
    """An output of two files, each a part, without texts."""
    for name in "ab":
        rows = [{"id": f"{name}{i}", "text": f"Anna Berg went to {PLACES[i]} by train {name}."} for i in range(3)]
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        run(tmp_path / "in", tmp_path / "out")
    return tmp_path


def ids(world):
    return sorted(p.id for p in PassageIndex(world / "answers").search("train", 100))


def test_a_file_that_has_changed_or_is_gone_is_named_with_the_remedy_and_all_others_are_found(bare):
    (bare / "in" / "b.jsonl").write_text((bare / "in" / "b.jsonl").read_text().replace("train", "coach"))
    with pytest.raises(
        InputChangedError, match=r"b.jsonl: changed since it was planned .*--keep-text --retag-files.*index again"
    ):
        build_index(LocalStore(bare / "out"), bare / "answers", embedder=None)
    assert ids(bare) == ["a0", "a1", "a2"]
    (bare / "in" / "b.jsonl").unlink()
    for _ in range(2):
        with pytest.raises(InputGoneError, match=r"b.jsonl: planned, but no longer there; .*part-000002-00000"):
            build_index(LocalStore(bare / "out"), bare / "answers", embedder=None)
    assert PassageIndex(bare / "answers").generation == 1
    (bare / "in" / "a.jsonl").unlink()  # what is in the index needs its input no more
    with pytest.raises(InputGoneError, match=r"b.jsonl"):
        build_index(LocalStore(bare / "out"), bare / "answers", embedder=None)
    assert ids(bare) == ["a0", "a1", "a2"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("Oslo", "Bern"), r"a.jsonl: at 0 is not the text of 'a0' that .* has tags of; put"),
        (lambda text: text.replace("by train", "bytrain "), r"a.jsonl: at \d+ is not the text of"),
        (lambda text: text.replace('"a1"', '"a9"'), r"a.jsonl: the document 'a1' of tags/part-000001-00000.parquet is no longer"),
        (lambda text: "".join(reversed(text.splitlines(keepends=True))), None),
    ],
)
def test_a_change_that_hides_behind_size_and_time_gives_nobody_anothers_tags(bare, change, said):
    path = bare / "in" / "a.jsonl"
    before, text = path.stat(), path.read_text()
    path.write_text(change(text))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    if said is None:  # each document is still told by its id
        build_index(LocalStore(bare / "out"), bare / "answers", embedder=None)
        found = PassageIndex(bare / "answers").search("train", 100)
        assert {p.id: p.text for p in found if p.id[0] == "a"} == {
            f"a{i}": f"Anna Berg went to {PLACES[i]} by train a." for i in range(3)
        }
        return
    with pytest.raises(InputChangedError, match=said):
        build_index(LocalStore(bare / "out"), bare / "answers", embedder=None)
    assert ids(bare) == ["b0", "b1", "b2"]


def test_what_no_plan_names_is_said(bare):
    part = next((bare / "out" / TAGS).iterdir())
    part.rename(part.with_name("part-000009-00000.parquet"))
    with pytest.raises(OutputError, match=r"part-000009-00000.parquet holds no texts, and no plan says what it was made of"):
        build_index(LocalStore(bare / "out"), bare / "answers", embedder=None)


def test_an_index_that_cannot_be_made_anew_whole_stays_as_it_is(tmp_path, tmp_path_factory):
    """Vectors are wanted now, and the input is gone: the generation that is there is the only copy of its texts."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text(json.dumps({"id": "d1", "text": "Anna Berg went to Oslo."}) + "\n")
    run(tmp_path / "in", tmp_path / "out", id_column="id")
    store, answers = LocalStore(tmp_path / "out"), tmp_path / "answers"
    assert build_index(store, answers, embedder=None).passages == 1
    (tmp_path / "in" / "a.jsonl").unlink()
    with pytest.raises(InputGoneError):
        build_index(store, answers, embedder=write_embedder(tmp_path_factory.mktemp("small")))
    index = PassageIndex(answers)
    assert (index.generation, [one.id for one in index.search("Oslo")]) == (1, ["d1"])
    assert embedder_of(LocalStore(answers)) is None, "who is not told otherwise makes it as it is"
    assert build_index(store, answers, embedder=embedder_of(LocalStore(answers))).generation == 1
