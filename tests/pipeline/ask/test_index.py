"""The index: what the output holds is in it once, whatever is added, tagged again or killed; filters leave what they say."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from models.runtime.reader import load_reader
from pipeline import faults
from pipeline.ask.asker import Asker
from pipeline.ask.generations import read_generation, whole_generations
from pipeline.ask.index import build_index
from pipeline.ask.readers import Readers
from pipeline.ask.search import Filters, PassageIndex, day
from pipeline.errors import ClaimedError, ConfigError, OutputError, UnavailableError
from pipeline.store.local import LocalStore
from tests.support import ROOT
from tests.support.runs import rows, run
from tests.support.small_embedder import write_embedder
from tests.support.small_reader import write_reader

PEOPLE = ["Anna Berg", "Tom Reed", "Lena Okafor"]


def put(folder, name, *documents):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(one) + "\n" for one in documents))


def document(number, text, source="news", day=1):
    return {"id": f"d{number}", "text": text, "source": source, "created_at": f"2026-11-{day:02d}T12:00:00Z"}


@pytest.fixture
def world(tmp_path):
    put(
        tmp_path / "in",
        "a.jsonl",
        document(1, "Anna Berg opened a harbour office in Oslo. It was cold.", day=1),
        document(2, "Tom Reed likes the harbour of Cork.", source="forum", day=2),
        document(3, "Nothing of note.\n" + "Filler without any sense. " * 30 + "Lena Okafor left Lyon.", day=3),
    )
    tag(tmp_path)
    return tmp_path


def tag(world, **more):
    return run(world / "in", world / "out", keep_text=True, id_column="id", **more)


def built(world):
    return build_index(LocalStore(world / "out"), world / "answers", embedder=None)


def found(world, question, **filters):
    return [passage.id for passage in PassageIndex(world / "answers").search(question, 50, Filters(**filters))]


def everything(world):
    """Each passage of the index: its document, place and text."""
    index = PassageIndex(world / "answers")
    terms = "harbour note filler left sense cold office likes quay river tower"
    return sorted((p.id, p.start, p.text) for p in index.search(terms, 1000))


def test_passages_are_where_they_say(world):
    counts = built(world)
    texts = {f"d{i + 1}": json.loads(line)["text"] for i, line in enumerate((world / "in/a.jsonl").read_text().splitlines())}
    passages = everything(world)
    assert (counts.generation, counts.parts, counts.added, counts.passages) == (1, 1, 1, len(passages))
    assert all(texts[id][start:].startswith(text) for id, start, text in passages)
    assert set(found(world, "Where did Lena Okafor go?")) == {"d3"}


def test_filters_leave_what_they_say(world):
    built(world)
    assert sorted(found(world, "harbour")) == ["d1", "d2"]
    assert found(world, "harbour", source="forum") == ["d2"]
    assert found(world, "harbour", since=day("2026-11-02")) == ["d2"]
    assert found(world, "harbour", until=day("2026-11-01")) == ["d1"]
    assert sorted(found(world, "harbour", since=day("2026-11-01"), until=day("2026-11-02"))) == ["d1", "d2"]
    assert found(world, "harbour", entity="Anna BERG") == found(world, "harbour", entity="PER:anna berg") == ["d1"]
    assert found(world, "harbour", entity="LOC:Anna Berg") == []
    assert found(world, "harbour", lang="zh") == []
    with pytest.raises(ConfigError, match="write it as 2026-11-22"):
        day("yesterday")
    with pytest.raises(ConfigError, match="no sentiment 'angry'; there are negative, neutral, positive"):
        found(world, "harbour", sentiment="angry")


def test_what_is_new_or_tagged_again_is_taken_in_and_the_rest_stays(world):
    built(world)
    assert built(world).added == 0
    put(world / "in", "b.jsonl", document(4, "A quay by the river.", day=4))
    tag(world)
    counts = built(world)
    assert (counts.generation, counts.added, counts.removed) == (2, 1, 0)
    assert found(world, "quay") == ["d4"]
    put(world / "in", "b.jsonl", document(5, "A tower by the river.", day=4))
    tag(world, retag_files=["b.jsonl"])
    counts = built(world)
    assert counts.added >= 1 <= counts.removed
    assert (found(world, "quay"), found(world, "tower"), found(world, "river")) == ([], ["d5"], ["d5"])
    fresh = world / "fresh"
    build_index(LocalStore(world / "out"), fresh, embedder=None)
    assert {p.id for p in PassageIndex(fresh).search("harbour river left", 50)} == {"d1", "d2", "d3", "d5"}
    assert sorted(set(found(world, "harbour river left"))) == ["d1", "d2", "d3", "d5"]
    tag(world, retag=True)
    assert built(world).removed > 0
    assert sorted(set(found(world, "harbour river left"))) == ["d1", "d2", "d3", "d5"]
    assert len(whole_generations(LocalStore(world / "answers"))) == 2


@pytest.mark.parametrize("point", faults.INDEX_POINTS)
def test_killed_anywhere_the_same_command_mends_it(world, point):
    built(world)
    before = everything(world)
    put(world / "in", "b.jsonl", document(4, "A quay by the river.", day=4))
    tag(world)
    command = [sys.executable, "-m", "jobs", "index", str(world / "out"), str(world / "answers"), "--no-vectors"]
    killed = subprocess.run(command, env={**os.environ, faults.ENV: point}, capture_output=True, check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    now = everything(world)
    assert now == before if point != "index.rename.after" else len(now) == len(before) + 1
    done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout)["passages"] == len(before) + 1
    assert {id for id, _, _ in everything(world)} == {"d1", "d2", "d3", "d4"}
    assert not (world / "answers" / "building").exists()


def tiring(calls):
    """A check that ends the build at one of its calls."""
    left = iter(range(calls))

    def check():
        if next(left, None) is None:
            raise KeyboardInterrupt

    return check


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_is_replaced_or_ends_a_build_each_document_is_there_once(world, seed, tmp_path_factory):
    """Files come, are tagged again, everything is, builds end anywhere: what is built at last is what a fresh build gives."""
    rng, number = random.Random(seed), 3
    small = write_embedder(tmp_path_factory.mktemp("small"))
    for _ in range(8):
        if rng.random() < 0.6:
            name = rng.choice("abcde")
            number += 1
            known = (world / "in" / f"{name}.jsonl").exists()
            put(world / "in", f"{name}.jsonl", *(document(10 * number + i, f"A quay and tower {i} of {name}.") for i in range(4)))
            tag(world, **({"retag_files": [f"{name}.jsonl"]} if known else {}))
        elif rng.random() < 0.2:
            tag(world, retag=True)
        with suppress(KeyboardInterrupt):
            build_index(LocalStore(world / "out"), world / "answers", check=tiring(rng.randrange(1, 40)), embedder=small)
    counts = build_index(LocalStore(world / "out"), world / "answers", embedder=small)
    build_index(LocalStore(world / "out"), world / "fresh", embedder=small)
    fresh = PassageIndex(world / "fresh", small)
    terms = "harbour note filler left sense cold office likes quay river tower"
    wanted = sorted((p.id, p.start, p.text, p.part, p.row, p.cosine) for p in fresh.search(terms, 1000))
    found = PassageIndex(world / "answers", small).search(terms, 1000)
    assert sorted((p.id, p.start, p.text, p.part, p.row, p.cosine) for p in found) == wanted
    assert counts.passages == len(wanted) == len(set(wanted))
    assert {p.id for p in found} == {row["id"] for row in rows(world / "out")}


def test_parts_that_are_replaced_while_they_are_read_are_read_again(world):
    build = built(world)
    put(world / "in", "b.jsonl", *(document(10 + i, f"A quay by river {i}.") for i in range(3)))
    tag(world)
    calls = 0

    def check():
        nonlocal calls
        calls += 1
        if calls == 3:
            put(world / "in", "b.jsonl", document(20, "A tower by the river."))
            tag(world, retag_files=["b.jsonl"])

    counts = build_index(LocalStore(world / "out"), world / "answers", check=check, embedder=None)
    assert (counts.generation, calls > 3) == (build.generation + 1, True)
    assert found(world, "quay river tower") == ["d20"]


def test_a_reader_goes_on_with_its_generation_until_it_looks(world):
    built(world)
    index = PassageIndex(world / "answers")
    assert not index.outdated()
    for number in range(4, 7):
        put(world / "in", f"{number}.jsonl", document(number, f"A quay by river {number}.", day=4))
        tag(world)
        built(world)
    assert (index.generation, index.search("quay")) == (1, [])
    assert index.outdated()
    assert {p.id for p in PassageIndex(world / "answers").search("quay")} == {"d4", "d5", "d6"}


def test_an_index_that_is_removed_and_made_anew_is_another_one(world):
    """Its number is the same; what a reader has open is files that are gone."""
    built(world)
    index = PassageIndex(world / "answers")
    shutil.rmtree(world / "answers")
    put(world / "in", "b.jsonl", document(4, "A quay by the river.", day=4))
    tag(world)
    assert built(world).generation == index.generation
    assert index.outdated()
    assert found(world, "quay") == ["d4"]


def test_a_part_that_is_replaced_again_and_again_keeps_no_other_from_the_index(world):
    built(world)
    put(world / "in", "b.jsonl", document(10, "A quay by the river."))
    tag(world)
    put(world / "in", "c.jsonl", document(11, "A tower by the sea."))
    tag(world)

    def check():
        """b is tagged again whenever it has just been begun."""
        tag(world, retag_files=["b.jsonl"])

    with pytest.raises(UnavailableError, match=r"is replaced while it is read .* all others are in the index"):
        build_index(LocalStore(world / "out"), world / "answers", check=check, embedder=None)
    assert found(world, "tower sea") == ["d11"]
    assert built(world).added
    assert found(world, "quay") == ["d10"]


def test_facets_count_the_passages_that_are_there(world):
    built(world)
    before = dict(PassageIndex(world / "answers").facets["sources"])
    put(world / "in", "a.jsonl", document(1, "Anna Berg opened a harbour office in Oslo.", source="other"))
    tag(world, retag_files=["a.jsonl"])
    built(world)
    assert (sorted(before), PassageIndex(world / "answers").facets["sources"]) == (["forum", "news"], [["other", 1]])


def test_days_and_entities_at_the_edge(world):
    built(world)
    assert found(world, "harbour", until=day("9999-12-31")) == found(world, "harbour")
    assert found(world, "harbour", entity="PER:Anna Berg") == ["d1"]
    assert found(world, "harbour", entity="2001: Anna Berg") == []


def test_what_cannot_be_indexed_is_said_with_the_remedy(world, tmp_path):
    with pytest.raises(ConfigError, match=r"no tags/ in it"):
        build_index(LocalStore(tmp_path / "nothing"), tmp_path / "c", embedder=None)
    with pytest.raises(ConfigError, match=r"make one with `textmill index"):
        PassageIndex(tmp_path / "nobody")
    built(world)
    run(world / "in", tmp_path / "other", id_column="id", keep_text=True)
    with pytest.raises(ConfigError, match=r"is an index of .*; name another folder"):
        build_index(LocalStore(tmp_path / "other"), world / "answers", embedder=None)
    with LocalStore(world / "answers").claim("_claim"), pytest.raises(ClaimedError):
        built(world)
    (world / "answers/g000001/manifest.json").write_text("{")
    with pytest.raises(OutputError, match="make the index anew"):
        read_generation(LocalStore(world / "answers"), 1)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    return write_reader(tmp_path_factory.mktemp("reader"), calibration=(0.0, 0.0, 0.0, 0.0, 3.0))


def test_an_answer_says_where_it_stands(world, reader):
    built(world)
    loaded = load_reader(reader, threads=1)
    reply = Asker(PassageIndex(world / "answers"), Readers(lambda lang: loaded), 0.0).ask("Where is the harbour office?")
    texts = [json.loads(line)["text"] for line in (world / "in/a.jsonl").read_text().splitlines()]
    assert reply.best is not None
    best = reply.best
    assert texts[best.passage.row][best.start : best.end] == best.answer.text
    unsure = Asker(PassageIndex(world / "answers"), Readers(lambda lang: loaded), 0.99).ask("Where is the harbour office?")
    assert (unsure.best, unsure.others[0]) == (None, best)
    for bad in ("", " \n"):
        with pytest.raises(ConfigError, match="empty"):
            Asker(PassageIndex(world / "answers"), Readers(lambda lang: loaded)).ask(bad)
    with pytest.raises(ConfigError, match=r"no reader for the language of this question \(en\); there are: qa-en"):
        Asker(PassageIndex(world / "answers"), Readers(lambda lang: None)).ask("Who?")


def test_many_questions_are_asked_of_an_index(world, reader):
    """Each gets what `ask` says to it, beside questions that have their own context."""
    built(world)
    loaded, answers = load_reader(reader, threads=1), world / "answers"
    questions = ["Where is the harbour office?", "Who opened the office?", "When is the harbour open?"]
    lines = [{"question": one} for one in questions]
    lines[1:1] = [{"id": "own", "question": "Where did she go?", "context": "She went to Oslo."}, {"question": ""}]
    (world / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = [
        sys.executable,
        "-m",
        "jobs",
        "answer",
        str(world / "q.jsonl"),
        "-",
        "--index",
        str(answers),
        "--model",
        str(reader),
    ]
    done = subprocess.run([*command, "--min-score", "0"], capture_output=True, check=False, text=True, cwd=ROOT)
    assert done.returncode == 4, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["id"] for one in found] == [1, "own", 3, 4, 5]
    assert found[1]["answer"] in "She went to Oslo."
    assert "document" not in found[1]
    assert found[2]["error"] == "the question is empty"
    asker = Asker(PassageIndex(answers), Readers(lambda lang: loaded), 0.0)
    for one, question in zip([found[0], *found[3:]], questions, strict=True):
        best = asker.ask(question).best
        assert (one["answer"], one["start"], one["end"]) == (best.answer.text, best.start, best.end)
        assert one["score"] == pytest.approx(best.score, abs=1e-6)
        assert (one["document"]["id"], one["document"]["passage"]) == (best.passage.id, best.passage.text)
    none = subprocess.run([*command, "--min-score", "1"], capture_output=True, check=False, text=True, cwd=ROOT).stdout
    assert json.loads(none.splitlines()[0]) | {"score": 0} == {
        "id": 1, "answer": "", "start": None, "end": None, "score": 0, "answerable": False,
    }  # fmt: skip
    lone = subprocess.run([*command[:-4], "--model", str(reader)], capture_output=True, check=False, text=True, cwd=ROOT).stdout
    assert json.loads(lone.splitlines()[0]) == {"id": 1, "error": "line 1: context is missing"}


def test_the_command_answers_in_words_and_in_json(world, reader):
    built(world)
    command = [
        sys.executable,
        "-m",
        "jobs",
        "ask",
        str(world / "answers"),
        "Where is the harbour\x1b[2J office?",
        "--model",
        str(reader),
        "--min-score",
        "0",
    ]
    shown = subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT).stdout
    assert "d1, news, 2026-11-01 12:00" in shown
    assert "\x1b[2J" not in shown
    found = json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True, text=True, cwd=ROOT).stdout)
    assert found["answer"]["answer"] in found["answer"]["passage"]
    none = subprocess.run([*command, "--source", "nowhere"], capture_output=True, check=True, text=True, cwd=ROOT).stdout
    assert none.strip() == "nothing here answers this"
