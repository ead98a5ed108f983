"""What every command of a well-kept command line has: a version, short help, quiet, words for people and JSON for programs."""

import json
import os
import pty
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from jobs.summaries import indexed, reported, tagged, verified
from pipeline.ask.index import IndexCounts
from pipeline.report.build import Report
from pipeline.run.result import Result
from pipeline.run.verify import Verification

COMMAND = [sys.executable, "-c", "from jobs.cli import main; main()"]


def said(*arguments: str | Path, code: int = 0) -> tuple[str, str]:
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def on_a_terminal(*arguments: str | Path) -> str:
    """What a command shows on a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, *map(str, arguments)], stdout=theirs, stderr=subprocess.PIPE, text=True) as process:
        os.close(theirs)
        shown = b""
        try:
            while some := os.read(ours, 4096):
                shown += some
        except OSError:  # the terminal is gone with the process
            pass
        process.communicate()
    os.close(ours)
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """An output of three documents, one of them French, and one dead letter."""
    folder = tmp_path_factory.mktemp("manners")
    rows = [{"text": "Volta Energy is in Cork."}, {"text": "Il fait vraiment froid ce matin"}, {"body": "x"}]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stdout, stderr = said("--quiet", "tag", folder / "in.jsonl", folder / "out", "--model", "en-fast", "--threads", "1")
    result = json.loads(stdout)
    assert (result["rows_out"], result["filtered"], result["dead_letters"]) == (1, 1, 1)
    assert '"event": "progress"' not in stderr
    assert '"event": "note"' not in stderr
    return folder / "out"


def test_the_version_is_that_of_the_package():
    assert said("--version")[0] == f"textmill {version('textmill')}\n"


@pytest.mark.parametrize("verb", ["tag", "report", "bench"])
def test_help_is_short_and_long(verb):
    assert said(verb, "-h")[0] == said(verb, "--help")[0]


def test_shells_can_complete():
    asked = {"_CLI_COMPLETE": "complete_bash", "COMP_WORDS": "textmill mod", "COMP_CWORD": "1"}
    names = {key.replace("_CLI_", name): value for key, value in asked.items() for name in ("_TEXTMILL_", "_C_", "__C_")}
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False, env={**os.environ, **names})
    assert done.stdout.split() == ["models"]


def test_notes_are_said_unless_quiet(out, tmp_path):
    again = ("tag", out.parent / "in.jsonl", tmp_path / "out", "--model", "en-fast", "--threads", "1")
    assert '"event": "note"' in said(*again)[1]
    assert said("-q", "report", out, "--into", tmp_path / "report")[1] == ""


def test_verbose_shows_where_an_error_comes_from(tmp_path):
    _, stderr = said("show", tmp_path / "nothing", code=2)
    assert "Traceback" not in stderr
    _, stderr = said("-v", "show", tmp_path / "nothing", code=2)
    assert "Traceback" in stderr
    assert stderr.splitlines()[-1].startswith("textmill: ")


def test_a_terminal_gets_words_and_a_pipe_json(out):
    again = ("tag", out.parent / "in.jsonl", out, "--model", "en-fast")
    assert on_a_terminal(*again) == f"nothing to do: every document is tagged already -> textmill show {out}\n"
    assert json.loads(on_a_terminal(*again, "--json"))["status"] == "nothing to do"
    assert json.loads(said(*again)[0])["status"] == "nothing to do"
    page = out / "reports" / "all" / "index.html"
    assert on_a_terminal("report", out) == f"1 document, revision 1 -> {page}\n"
    assert on_a_terminal("report", out) == f"1 document, nothing is new since revision 1 -> {page}\n"
    assert on_a_terminal("verify", out) == "agrees: 3 documents in 1 part; 3 documents counted again in 1 file\n"


def test_what_trains_asks_for_the_extra_that_brings_torch(tmp_path):
    script = "import sys; sys.modules['torch'] = None; from jobs.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", script, "train", str(tmp_path), str(tmp_path / "model")],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 2
    assert "[torch]'" in done.stderr


def test_words():
    done = Result("r", rows_out=19_266, seconds=27.4, documents_s=703.1, dead_letters=1)
    assert tagged(done, "my out/").splitlines() == [
        "19,266 documents in 27 s (703/s) -> textmill show 'my out/'",
        "1 dead letter -> my out/dead_letters",
    ]
    made = Report("f", "f/index.html", {}, {}, 1_000, 0, 0, 3, changed=True, disagreements=())
    assert reported(made) == "1,000 documents, revision 3 -> f/index.html"
    assert (
        indexed(IndexCounts(2, 3, 1_200, 1, 0), "a") == "1,200 passages of 3 parts; 1 new, 0 removed -> textmill ask a QUESTION"
    )
    gone = Verification(parts=2, documents=9, files=3, files_gone=1, counted=6)
    assert verified(gone).endswith("6 documents counted again in 2 files; 1 file gone or changed since, not counted again")
