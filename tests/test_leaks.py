"""Nothing is left behind: what looks after every test sees each kind of leak, and the product starts nothing unasked."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.support.leaks import MARK, Leaks

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
# Its child lives on when it is dead.
ORPHAN = f"import subprocess; print(subprocess.Popen({SLEEP!r}, stdout=-3, stderr=-3, start_new_session=True).pid)"


def test_processes_threads_and_files_are_seen_orphans_too(tmp_path):
    leaks, mark = Leaks("here", tmp_path), {**os.environ, MARK: "here"}
    assert leaks.found() == []
    with subprocess.Popen(SLEEP) as child:
        done = subprocess.run([sys.executable, "-c", ORPHAN], env=mark, capture_output=True, text=True, check=True)
        orphan = int(done.stdout)
        end = threading.Event()
        thread = threading.Thread(target=end.wait, name="a-thread-that-stays")
        thread.start()
        (tmp_path / "a-file").write_text("")
        try:
            found = leaks.found(0.0)
        finally:
            end.set()
            thread.join()
            os.kill(orphan, signal.SIGKILL)
            child.kill()
    wanted = (f"process {child.pid}:", f"process {orphan}:", "thread a-thread-that-stays", f"file {tmp_path / 'a-file'}")
    assert len(found) == len(wanted)
    assert all(any(one.startswith(start) for one in found) for start in wanted), found


def test_what_a_fixture_started_may_stay_with_its_children_until_its_end(tmp_path):
    leaks = Leaks("there", tmp_path)
    parent = "import subprocess, sys; sys.stdin.readline(); " + ORPHAN + "; sys.stdout.flush(); sys.stdin.readline()"
    with leaks.kept("module"):
        child = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        child.stdin.write("\n")
        child.stdin.flush()
        below = int(child.stdout.readline())
        assert leaks.found(0.0) == []
        leaks.over("module")
        found = leaks.found(0.0)
        os.kill(below, signal.SIGKILL)
        child.stdin.write("\n")
    assert [one.split(":")[0] for one in found] == sorted(f"process {pid}" for pid in (child.pid, below))


def test_what_ends_soon_is_waited_for(tmp_path):
    leaks = Leaks("soon", tmp_path)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.3)"]) as child:
        assert leaks.found() == []
        assert Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_temporary_files_of_tests_are_apart():
    assert Path(tempfile.gettempdir()).name.startswith("textmill-")


# OpenVINO's telemetry would write into HOME, start a thread, and fork a process that sends.
TAGS = """
import threading, models
models.load("en-fast", threads=1).tag(["Ms Keller lives in Cork."])
assert [one.name for one in threading.enumerate() if not one.daemon] == ["MainThread"], threading.enumerate()
"""


def test_a_tagger_starts_no_thread_that_stays_and_writes_nothing_at_home(tmp_path):
    subprocess.run([sys.executable, "-c", TAGS], env={**os.environ, "HOME": str(tmp_path)}, check=True)
    assert not list(tmp_path.iterdir())
