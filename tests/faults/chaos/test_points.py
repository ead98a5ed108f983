"""Fault points: what is armed happens, once, where and when it says, and leaves a mark; nothing else does."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import faults

ROOT = Path(faults.__file__).parent


def run(code, wanted, tmp_path, **env):
    """A process that passes points; gives it and the marks that it left."""
    marks = tmp_path / "marks"
    marks.mkdir(exist_ok=True)
    code = f"from pipeline.faults import point\n{code}"
    environment = {**os.environ, faults.ENV: wanted, faults.MARK_ENV: str(marks), **env}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False)
    return done, {one.name for one in marks.iterdir()}


def test_the_nth_time_and_then_no_more(tmp_path):
    code = "print([point('source.read') for _ in range(4)])"
    done, marks = run(code, "source.read:3=drop", tmp_path)
    assert (done.stdout, marks) == ("[False, False, True, False]\n", {"source.read:3=drop"})
    assert run(code, "source.read:3=drop", tmp_path)[0].stdout == "[False, False, False, False]\n"  # its mark is there


def test_without_the_variable_nothing_happens(tmp_path):
    done, marks = run("print(point('source.read'), point('no such point'))", "", tmp_path)
    assert (done.stdout, marks) == ("False False\n", set())


@pytest.mark.parametrize(("action", "number"), [("kill", signal.SIGKILL), ("term", signal.SIGTERM)])
def test_signals(action, number, tmp_path):
    done, marks = run("point('block.read'); print('alive')", f"block.read={action}", tmp_path)
    assert (done.returncode, done.stdout, marks) == (-number, "", {f"block.read:1={action}"})


def test_a_process_that_stops_itself_says_which_it_is(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    environment = {**os.environ, faults.ENV: "block.read=stop", faults.MARK_ENV: str(marks)}
    code = "from pipeline.faults import point; point('block.read'); print('on')"
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
    assert (marks / "block.read:1=stop").read_text() == f"{process.pid} "
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=60)[0] == "on\n"


@pytest.mark.parametrize("action", ["eio", "estale", "enospc"])
def test_errors(action, tmp_path):
    code = "try:\n    point('part.group.after')\nexcept OSError as error:\n    print(error.errno)"
    assert run(code, f"part.group.after={action}", tmp_path)[0].stdout == f"{getattr(errno, action.upper())}\n"


def test_several_faults_of_a_file(tmp_path):
    """As a Ray worker gets them, whose environment was made before the faults were."""
    code = "print(point('block.read'), point('source.read'), point('block.read'))"
    (tmp_path / "faults").write_text("block.read:2=drop, source.read=drop,block.read:*=delay")
    done, marks = run(code, f"@{tmp_path / 'faults'}", tmp_path)
    assert (done.stdout, marks) == ("False True True\n", {"block.read:2=drop", "source.read:1=drop"})


@pytest.mark.parametrize("wanted", ["no.such.point", "block.read=explode", "block.read:x", "block.read:-1=kill"])
def test_what_can_never_happen_is_refused(wanted):
    with pytest.raises(ValueError, match="no such fault"):
        faults.parse(wanted)


ARMED = st.builds(
    faults.Armed,
    st.sampled_from(faults.POINTS + faults.READ_POINTS),
    st.one_of(st.just(faults.EVERY), st.integers(1, 99).map(str)),
    st.sampled_from(faults.ACTIONS),
)


@given(st.lists(ARMED))
def test_what_is_written_is_what_is_read(armed):
    assert faults.parse(",".join(map(str, armed))) == armed


def test_every_point_is_somewhere():
    """A point that no code passes can never happen; the names of small files' points are made of the file's."""
    source = "\n".join(path.read_text() for path in ROOT.rglob("*.py") if path.name != "faults.py")
    passed = set(re.findall(r'point\("([a-z.]+)"[,)]', source))
    assert passed >= set(faults.READ_POINTS)
    points = {
        *faults.POINTS,
        *faults.COMPACT_POINTS,
        *faults.NIGHT_POINTS,
        *faults.BATCH_POINTS,
        *faults.REPORT_POINTS,
        *faults.SUPERSEDE_POINTS,
        *faults.INDEX_POINTS,
        *faults.INDEX_PUBLISH_POINTS,
        *faults.INDEX_FETCH_POINTS,
        *faults.VOICE_POINTS,
    }
    made = {one for one in points if one.endswith((".write.before", ".write.after", ".rename.after"))}
    assert points - made <= passed
    assert passed <= {*points, *faults.READ_POINTS}
