"""Runs on Ray, in processes of their own, and what must hold of what they leave."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pipeline.sink.files import STAGING
from pipeline.store.local import LocalStore
from tests.test_run import rows

ROOT = Path(__file__).parent.parent.parent
SPLITS = 8


def start(data, out, *more, code="", **env):
    """`textmill tag` with two Ray workers; `code` is imported by every Python process."""
    site = out.parent / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(code)
    command = [sys.executable, "-m", "jobs", "tag", str(data), str(out), "--model", "en-fast", "--id-column", "id"]
    command += ["--threads", "1", "--split-tokens", "450", *(more or ("--workers", "2"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]), **env}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def tagged(data, out, *more, **env):
    process = start(data, out, *more, **env)
    stdout, stderr = process.communicate()
    return process.returncode, stdout, stderr


def table(out):
    return sorted((row["id"], row["sentiment"], [(e["start"], e["label"]) for e in row["entities"]]) for row in rows(out))


def check(out, golden, stdout):
    assert table(out) == golden
    assert not list(LocalStore(out).list(STAGING))
    assert not any((out / name).exists() for name in ("_claim", "_state.json"))
    result = json.loads(stdout)
    assert (result["status"], result["rows_out"], result["dead_letters"]) == ("finished", SPLITS * 30, 0)
    parts = json.loads(Path(result["manifest"]).read_text())["parts"]
    assert sorted(part["name"] for part in parts) == sorted({part["name"] for part in parts})
    assert sum(part["rows"] for part in parts) == result["rows_out"]
