"""SIGKILL at every point of the commit, and a rerun: nothing lost, nothing twice, nothing half."""

import json
import os
import signal
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from pipeline import faults
from pipeline.sink.layout import CLAIM, RUNS, STAGING
from pipeline.store.claim import holder
from pipeline.store.local import LocalStore
from tests.support.runs import rows, run, state

TEXTS = ["Ms Keller flew to Oslo.", "Volta Energy is in Cork.", "A day like any other.", "We loved Lyon."]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in "abc":
        lines = [json.dumps({"id": f"{name}{i}", "text": text}) for i, text in enumerate(TEXTS)]
        (folder / f"{name}.jsonl").write_text("\n".join([*lines, "broken"]) + "\n")
    return folder


def command(data, out, **env):
    arguments = [sys.executable, "-m", "jobs", "tag", str(data), str(out), "--model", "en-fast", "--id-column", "id"]
    arguments += ["--threads", "1", "--split-tokens", "120"]
    return subprocess.run(arguments, env={**os.environ, **env}, capture_output=True, text=True, check=False)


def table(out):
    return sorted((row["id"], row["sentiment"], [(e["start"], e["label"]) for e in row["entities"]]) for row in rows(out))


@pytest.fixture(scope="module")
def golden(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("golden") / "out"
    done = command(data, out)
    assert done.returncode == 0, done.stderr
    assert len(list((out / "tags").iterdir())) == 3
    return table(out), sorted((d["path"], d["position"]) for d in rows(out, "dead_letters"))


def check_whole(out):
    """I3: whatever a reader can see is whole."""
    for kind in ("tags", "dead_letters", "_plans"):
        for path in (out / kind).glob("*.parquet"):
            pq.read_table(path)
    for path in [*(out / RUNS).glob("*.json"), *(out / "_plans").glob("*.json")]:
        json.loads(path.read_text())


@pytest.mark.parametrize("point", faults.POINTS)
def test_killed_and_run_again(point, data, golden, tmp_path):
    out = tmp_path / "out"
    # The parts' points are passed once a part: die over the second.
    times = 2 if point.startswith(("part.", "side.", "clean.")) else 1
    killed = command(data, out, **{faults.ENV: f"{point}:{times}"})
    assert killed.returncode == -signal.SIGKILL, (point, killed.stderr)
    assert not any(text in killed.stderr for text in TEXTS)  # I10
    check_whole(out)
    kept = {name: data for name, data in state(out).items() if name.startswith("tags/")}
    result = run(data, out, split_tokens=120)
    assert result.parts == 3 - len(kept)  # what was committed is not computed again
    check_whole(out)
    after = state(out)
    assert {name: after[name] for name in kept} == kept
    letters = sorted((d["path"], d["position"]) for d in rows(out, "dead_letters"))
    assert (table(out), letters) == golden
    assert not list(LocalStore(out).list(STAGING))
    assert holder(LocalStore(out), CLAIM) is None
    record = json.loads((out / "_plans" / "plan-000001.done.json").read_text())
    assert (record["rows"], record["dead_letters"], record["parts"]) == (12, 3, 3)
    assert run(data, out, split_tokens=120).status == "nothing to do"
    assert state(out) == after


def test_killed_while_generations_change(data, tmp_path):
    out = tmp_path / "out"
    assert command(data, out).returncode == 0
    for point in ("plan.rename.after", "part.rename.after:2", "done.write.before", "done.rename.after"):
        arguments = [sys.executable, "-m", "jobs", "tag", str(data), str(out), "--model", "en-fast", "--retag"]
        arguments += ["--id-column", "id", "--threads", "1", "--split-tokens", "120"]
        killed = subprocess.run(arguments, env={**os.environ, faults.ENV: point}, capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL, point
        assert len(rows(out)) == 12  # one generation, whole
        run(data, out, split_tokens=120)
        assert len(rows(out)) == 12
        assert len(rows(out, "dead_letters")) == 3
        assert not (out / "_next").exists()
        assert run(data, out).status == "nothing to do"
