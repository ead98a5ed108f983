"""`textmill sql` and `textmill export`: what people see, and what other tools read."""

import csv
import io
import json
import os
import pty
import subprocess
import sys

import pytest

from jobs import cli
from tests.support import ROOT
from tests.support.report_data import document, made_up, write_output

MILL = [sys.executable, "-c", "from jobs.cli import main; main()"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    some = document("a", "2026-11-22T08:00:00", [("Oslo", "LOC")], words=[("Oslo", "PROPN"), ("sleeps", "VERB")])
    return write_output(tmp_path_factory.mktemp("sql") / "out", [[some], made_up(60)])


@pytest.fixture
def said(capsys):
    """Runs a verb in this process: gives its exit code, and what it wrote."""

    def run(*args):
        with pytest.raises(SystemExit) as done:
            cli.main([str(arg) for arg in args])
        return done.value.code or 0, *capsys.readouterr()

    return run


def test_json_lines_where_it_is_piped(out, said):
    code, text, errors = said("sql", out, "select id, created_at, entities as e from tags where id = 'a'")
    assert (code, errors) == (0, "")
    assert json.loads(text) == {
        "id": "a", "created_at": "2026-11-22T08:00:00Z",
        "e": [{"text": "Oslo", "label": "LOC", "start": 0, "end": 4, "score": 0.9}],
    }  # fmt: skip
    assert len(said("sql", f"file://{out}", "from tags", "--json")[1].splitlines()) == 61


def test_csv_and_statements_from_standard_input(out, said, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("select id, words, null as n, 1 as n from tags where id = 'a'"))
    code, text, _ = said("sql", out, "-", "--csv")
    assert code == 0
    ((head), (row)) = csv.reader(io.StringIO(text))
    assert head == ["id", "words", "n", "n_1"]
    assert (row[0], json.loads(row[1])[1]["pos"], row[2:]) == ("a", "VERB", ["", "1"])
    assert said("sql", out, "from tags", "--csv", "--json")[0] == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["select colour from tags"], "colour"),
        (["selec 1"], "syntax error"),
        (["copy tags to 'x.csv'"], "COPY is not run here"),
        (["insert into tags values (1)"], "INSERT is not run here"),
        (["attach 'x'"], "ATTACH is not run here"),
        (["set threads = 1"], "SET is not run here"),
        (["from read_text('/etc/hostname')"], "disabled by configuration"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(out, said, args, message):
    code, text, errors = said("sql", out, *args)
    assert (code, text) == (2, "")
    assert errors.startswith("textmill: ")
    assert message in errors
    assert "Traceback" not in errors


def test_what_is_no_output(tmp_path, said):
    for verb in (["sql", tmp_path, "from tags"], ["export", tmp_path, tmp_path / "x", "--format", "jsonl"]):
        code, _, errors = said(*verb)
        assert code == 2
        assert "is it the output folder of `textmill tag`?" in errors


def test_a_table_on_a_terminal_says_how_many_rows_there_are(out):
    main, side = pty.openpty()
    command = [*MILL, "sql", str(out), "select id, source, 'x\x1b[2J' as odd from tags order by id", "--limit", "3"]
    env = {**os.environ, "TERM": "dumb", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=side, stderr=subprocess.PIPE, cwd=ROOT, env=env) as process:
        os.close(side)
        shown = b""
        try:
            while data := os.read(main, 65_536):
                shown += data
        except OSError:  # how a terminal ends
            pass
        finally:
            os.close(main)
        errors = process.stderr.read().decode()
    assert process.returncode == 0, errors
    assert b"\x1b[2J" not in shown
    assert [name in shown.decode() for name in (" a ", " d0 ", " d1 ", " d10 ")] == [True, True, True, False]
    assert "3 of 61 rows are shown" in errors


def test_a_reader_that_has_enough(out):
    command = [*MILL, "sql", str(out), "from range(3000000)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout.readline() == b'{"range": 0}\n'
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_export(out, said, tmp_path):
    code, text, errors = said("export", out, tmp_path / "x.jsonl", "--format", "jsonl", "--filter", "id = 'a'")
    assert (code, errors) == (0, "")
    assert json.loads(text)["documents"] == 1
    assert json.loads((tmp_path / "x.jsonl").read_text())["id"] == "a"
    assert said("export", out, tmp_path / "x.jsonl", "--format", "jsonl")[0] == 2
    code, _, errors = said("export", out, tmp_path / "y", "--format", "csv", "--filter", "colour = 1")
    assert (code, "colour" in errors, (tmp_path / "y").exists()) == (2, True, False)
    code, _, errors = said("export", out, tmp_path / "y", "--format", "xml")
    assert (code, "jsonl, csv, conll, spacy, brat" in errors) == (2, True)


@pytest.mark.parametrize("verb", ["sql", "export"])
def test_help(said, verb):
    code, text, _ = said(verb, "--help")
    assert code == 0
    assert "OUTPUT" in text
