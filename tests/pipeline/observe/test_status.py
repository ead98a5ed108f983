"""What can be seen of a run from elsewhere: while it lasts, after it was killed, when it has ended."""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

from pipeline.observe import heartbeat
from pipeline.observe.heartbeat import status_of
from pipeline.sink.layout import STATE
from pipeline.store.local import LocalStore
from pipeline.worker.worker import TagWorker
from tests.support import ROOT
from tests.support.runs import run, write_lines


def asked(output):
    command = [sys.executable, "-m", "jobs", "status", str(output)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_status_while_a_run_lasts_and_when_it_has_ended(tmp_path, monkeypatch):
    for name in "abc":
        write_lines(tmp_path / "in" / f"{name}.jsonl", *[f"Ms Keller of {name} lives in Cork."] * 40)
    out = tmp_path / "out"
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.0)
    work, seen = TagWorker.run, []

    def noted(self, split, check, *rest, **more):
        until = time.monotonic() + 60  # another thread writes the state
        while (now := status_of(LocalStore(out))).live is None or now.live["parts"] != len(seen):
            assert time.monotonic() < until
            check()
        seen.append((now, asked(out).stdout if not seen else ""))
        return work(self, split, check, *rest, **more)

    monkeypatch.setattr(TagWorker, "run", noted)
    run(tmp_path / "in", out, split_tokens=600)
    assert [(one.parts, one.planned, one.open_plans, one.stale) for one, _ in seen] == [(i, 3, 1, False) for i in range(3)]
    assert seen[2][0].live["parts"] == 2
    assert seen[2][0].live["process"] == os.getpid()
    assert "parts: 0 of 3" in seen[0][1]
    assert f"process {os.getpid()} on " in seen[0][1]
    assert not (out / STATE).exists()
    after = asked(out)
    assert (after.returncode, after.stderr) == (0, "")
    assert "parts: 3 of 3 (1 plans, 0 of them not finished)" in after.stdout
    assert "finished, 120 documents" in after.stdout


def test_a_state_that_nobody_renews_is_told_as_such(tmp_path):
    write_lines(tmp_path / "in" / "a.jsonl", "Cork.")
    run(tmp_path / "in", tmp_path / "out")
    old = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    (tmp_path / "out" / STATE).write_text(json.dumps({"run": "r", "process": 7, "host": "h", "time": old}))
    assert "last sign of run r, process 7 on h" in asked(tmp_path / "out").stdout


def test_no_output_is_a_clear_error(tmp_path):
    done = asked(tmp_path)
    assert done.returncode == 2
    assert "is it the output folder of `textmill tag`?" in done.stderr
