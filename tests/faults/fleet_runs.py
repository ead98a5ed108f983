"""Runs on Ray, in processes of their own, and what must hold of what they leave."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from pipeline.sink.layout import CLAIM, STAGING, STATE
from pipeline.store.claim import holder
from pipeline.store.local import LocalStore
from tests.support import ROOT
from tests.support.runs import rows

SPLITS = 8
# Stands in every process: after the first two leases of all, workers wait as long as a file is there.
HELD = """
import os, time
import pipeline.worker.worker as worker
run = worker.TagWorker.run
def held(self, *rest, **more):
    for mark in ({mark!r} + "1", {mark!r} + "2"):
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            return run(self, *rest, **more)
        except FileExistsError:
            pass
    while os.path.exists({hold!r}):
        time.sleep(0.05)
    return run(self, *rest, **more)
worker.TagWorker.run = held
"""


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
    assert holder(LocalStore(out), CLAIM) is None
    assert not (out / STATE).exists()
    result = json.loads(stdout)
    assert (result["status"], result["rows_out"], result["dead_letters"]) == ("finished", SPLITS * 30, 0)
    parts = json.loads(Path(result["manifest"]).read_text())["parts"]
    assert sorted(part["name"] for part in parts) == sorted({part["name"] for part in parts})
    assert sum(part["rows"] for part in parts) == result["rows_out"]


def heard(process, line):
    """Wait until a run says something on its standard error; gives what it has said. It must be read on to its end."""
    said = ""
    for got in process.stderr:
        said += got
        if line in got:
            return said
    raise AssertionError(f"the run has ended without saying {line!r}:\n{said}")


def below(pid):
    """The processes that a process has started, and those that they have: by number, what /proc calls them."""
    parents, names = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                names[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found, around = {}, {pid}
    while around := {child for child, parent in parents.items() if parent in around}:
        found |= {child: names[child] for child in around}
    return found


def part_of_ray(process, what):
    """The process of a run's own Ray that bears a name; waits for it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for pid, name in below(process.pid).items():
            if what in name.partition(" ")[0]:
                return pid
        time.sleep(0.05)
    raise AssertionError(f"no {what} below the run: {below(process.pid)}")
