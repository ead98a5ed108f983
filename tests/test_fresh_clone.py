"""The README's first command on a fresh clone; slow, as it makes a virtual environment."""

import json
import os
import subprocess

import pytest

from tests.support import ROOT


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_demo_of_a_fresh_clone(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    bare = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(["make", "demo"], cwd=clone, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "documents, 5 dead letters" in done.stdout
    (manifest,) = (clone / "out" / "demo" / "_runs").glob("*[0-9a-f].json")
    assert json.loads(manifest.read_text())["status"] == "finished"
    again = subprocess.run(["make", "demo"], cwd=clone, env=bare, capture_output=True, text=True, check=True)
    assert "nothing to do" in again.stdout
