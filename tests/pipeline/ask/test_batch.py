"""`textmill answer`: a line in, a line out, in order, whatever the lines are."""

import io
import json
import subprocess
import sys

import pytest

from models.runtime.reader import load_reader
from pipeline.ask.batch import AT_ONCE, BatchCounts, answer_lines
from pipeline.ask.readers import Readers
from tests.support import ROOT
from tests.support.small_reader import write_reader

ASKED = {"question": "Where did Anna Berg go?", "context": "Anna Berg went to Oslo in May."}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_reader(tmp_path_factory.mktemp("reader"), calibration=(0.0, 0.0, 0.0, 0.0, 3.0))


def textmill(*args, code=0, stdin=None):
    command = [sys.executable, "-m", "jobs", "answer", *map(str, args)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT, input=stdin)
    assert done.returncode == code, done.stderr.decode()
    return done


def test_each_line_has_its_line_and_bad_ones_say_why(tmp_path, folder):
    lines = [
        json.dumps({"id": "a", **ASKED}),
        "",
        "{not json",
        json.dumps(["a"]),
        json.dumps({"id": "b", "question": "Who?"}),
        json.dumps({"id": 7, "question": " ", "context": "x"}),
        json.dumps({"question": 3, "context": "x"}),
        json.dumps({"id": None, **ASKED, "question": "\u8c01\u53bb\u4e86\u5965\u65af\u9646\uff1f"}),
        json.dumps({"id": {"deep": 1}, **ASKED}),
        "[" * 100_000,
    ]
    source = tmp_path / "q.jsonl"
    source.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe\n")
    done = textmill(source, tmp_path / "a.jsonl", "--model", folder, code=4)
    found = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [one["id"] for one in found] == ["a", 3, 4, "b", 7, 7, 8, {"deep": 1}, 10, 11]
    assert ["error" in one for one in found] == [False, True, True, True, True, True, False, False, True, True]
    assert found[0] == {**found[7], "id": "a"}
    assert ASKED["context"][found[0]["start"] : found[0]["end"]] == found[0]["answer"] != ""
    assert found[3]["error"] == "line 5: context is missing"
    assert json.loads(done.stdout) == {"questions": 10, "answered": 3, "unanswered": 0, "errors": 7}
    assert b"7 of 10 lines could not be answered" in done.stderr


def test_what_is_not_sure_enough_is_no_answer(folder):
    reader = load_reader(folder, threads=1)
    counts = BatchCounts()
    line = json.dumps({"id": 1, **ASKED}).encode()
    (found,) = answer_lines([line], Readers(lambda lang: reader), 0.99, counts)
    assert json.loads(found) == {"id": 1, "answer": "", "start": None, "end": None, "score": 0.952574, "answerable": False}
    assert (counts.answered, counts.unanswered) == (0, 1)


def test_order_holds_over_batches_and_languages(folder):
    reader = load_reader(folder, threads=1)
    lines = [
        json.dumps({"id": i, **ASKED, "question": "Who?" if i % 3 else "\u8c01\uff1f"}).encode() for i in range(2 * AT_ONCE + 5)
    ]
    counts = BatchCounts()
    found = [json.loads(one) for one in answer_lines(lines, Readers(lambda lang: reader if lang == "en" else None), 0.5, counts)]
    assert [one["id"] for one in found] == list(range(2 * AT_ONCE + 5))
    assert all(("error" in one) == (one["id"] % 3 == 0) for one in found)
    assert found[0]["error"].startswith("no reader for the language of this question (zh); there are: qa-en")


def test_pipes_and_files_that_are_not_there(tmp_path, folder):
    done = textmill("-", "--model", folder, stdin=json.dumps(ASKED).encode())
    assert json.loads(done.stdout)["id"] == 1
    assert json.loads(done.stderr)["answered"] == 1
    assert b"no such file" in textmill(tmp_path / "none", code=2).stderr.lower()
    (tmp_path / "q").write_text(json.dumps(ASKED))
    assert b"folder that is there" in textmill(tmp_path / "q", tmp_path / "no" / "a", "--model", folder, code=2).stderr
    assert b"name another one" in textmill(tmp_path / "q", tmp_path / "q", "--model", folder, code=2).stderr
    assert b"no model" in textmill(tmp_path / "q", tmp_path / "a", "--model", "nobody", code=2).stderr
    assert not (tmp_path / "a").exists()
    assert list(tmp_path.glob(".*")) == []


def test_nothing_in_gives_nothing_out(folder):
    assert list(answer_lines(io.BytesIO(b"\n\n"), Readers(lambda lang: load_reader(folder)), 0.5, BatchCounts())) == []


def test_one_reader_is_loaded_once_for_all_languages(folder):
    readers = Readers.choose(str(folder), threads=1)
    assert readers.of("Who?") is readers.of("\u8c01\uff1f") is not None


def test_shipped_readers_are_chosen_by_the_language_of_the_question():
    readers = Readers.choose("auto", threads=1)
    found = readers.of("Who?")
    assert found is not None
    assert found.lang == "en"
