"""A user's folder may be called `models`, `pipeline` or `jobs`: that is said, with the remedy, and is no ImportError."""

import os
import subprocess
import sys

import pytest

from pipeline.errors import ConfigError
from pipeline.exits import exit_of
from pipeline.fleet.ray_errors import cannot_start
from tests.support import ROOT
from textmill_names import NameTakenError, check_names


@pytest.fixture
def with_own(tmp_path):
    """Runs Python in a folder that has packages of its own by the names given."""

    def python(*args, names=("models",), empty=False):
        for name in names:
            (tmp_path / name).mkdir()
            (tmp_path / name / ("notes.txt" if empty else "__init__.py")).write_text("")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run([sys.executable, *args], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return python


def test_ours_are_ours():
    check_names()


@pytest.mark.parametrize("name", ["models", "pipeline"])
def test_the_command_in_such_a_folder_says_so(with_own, tmp_path, name):
    done = with_own("-m", "jobs", "models", names=[name])
    assert done.returncode == 2
    assert f"finds {tmp_path / name} first" in done.stderr
    assert "Rename" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_package_hides_nothing(with_own):
    assert "en-fast" in with_own("-m", "jobs", "models", names=["models"], empty=True).stdout


def test_the_console_script_does_not_look_into_the_folder(with_own):
    script = "import sys; sys.path.remove(''); sys.argv = ['textmill', 'models']; from textmill_names import command; command()"
    assert "en-fast" in with_own("-c", script, names=["models", "jobs", "pipeline"]).stdout


def test_the_console_script_says_so_for_jobs_too(with_own):
    done = with_own("-c", "from textmill_names import command; command()", names=["jobs"])
    assert (done.returncode, "package `jobs`" in done.stderr) == (2, True)


def test_workers_of_ray_would_find_it_in_the_folder_of_the_run(with_own, tmp_path):
    """Ray puts the folder in which a run was started before all others on its workers' path."""
    script = "import sys; sys.path.remove(''); from textmill_names import command; command()"
    source = str(ROOT / "examples" / "documents" / "posts.jsonl")
    done = with_own("-c", script, "tag", source, "out", "--model", "en-fast", "--workers", "1", names=["models"])
    assert done.returncode == 2, done.stderr
    assert f"finds {tmp_path / 'models'} first" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_ray_worker_tells_what_it_has_found(with_own):
    """Ray keeps the text of what a worker raises when it imports the class of the actor."""
    died = with_own("-c", "import pipeline.fleet.worker_actor", names=["models"])
    error = RuntimeError(died.stderr)
    error.actor_init_failed = True  # type: ignore[attr-defined]
    told = cannot_start(1, "", error)
    assert isinstance(told, ConfigError)
    assert "needs its own package `models`" in str(told)
    error = RuntimeError("ModuleNotFoundError: No module named 'pipeline.fleet'")
    error.actor_init_failed = True  # type: ignore[attr-defined]
    assert "no other `pipeline`" in str(cannot_start(1, "", error))


def test_the_spacy_component_says_so(with_own):
    pytest.importorskip("spacy")
    script = "import spacy, textmill_spacy; spacy.blank('en').add_pipe('textmill', config={'model': 'en-fast'})"
    done = with_own("-c", script, names=["models"])
    assert "NameTakenError: Textmill needs its own package `models`" in done.stderr


def test_it_is_a_wrong_setting():
    assert exit_of(NameTakenError("x")).code == 2
