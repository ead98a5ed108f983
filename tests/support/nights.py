"""Thirty small nights, and what must hold of what jobs leave."""

import hashlib
import json
import os
import random
import subprocess
import sys
from datetime import date, timedelta

import pyarrow.parquet as pq

from pipeline.nightly.config import load_night
from pipeline.nightly.revisions import manifest_path
from pipeline.sink.layout import CLAIM, STAGING
from pipeline.store.claim import holder
from pipeline.store.local import LocalStore
from tests.support import ROOT
from tests.support.counting_report import HOLD

FIRST = date(2024, 2, 15)  # thirty days with a leap day and a month's end
DAYS = [FIRST + timedelta(days=i) for i in range(30)]
PLACES = ["Oslo", "Cork", "Lyon", "Porto"]


def write_day(folder, day, count=6, name="posts", seed=0):
    """A file of documents of one day."""
    rng = random.Random(f"{day} {name} {seed}")
    lines = []
    for i in range(count):
        feeling = rng.choice(["We loved it.", "It was awful.", "It happened."])
        text = f"Ms Keller flew to {rng.choice(PLACES)} on trip {rng.randrange(1000)}. {feeling}"
        at = f"{day}T{rng.randrange(24):02d}:{rng.randrange(60):02d}:00Z"
        row = {"id": f"{day}-{name}-{i}", "text": text, "created_at": at, "source": rng.choice("ab")}
        lines.append(json.dumps(row) + "\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{day}-{name}.jsonl").write_text("".join(lines))


def conf_of(folder, source, output, more="", tag=""):
    """A job file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{output.name}.toml"
    path.write_text(
        f'{more}\n[tag]\nsources = ["{source}"]\noutput = "{output}"\nid_column = "id"\nmodel = "en-fast"\nthreads = 1\n{tag}\n'
    )
    return path


def config_of(*args, **more):
    return load_night(conf_of(*args, **more))


def command(*args):
    return [sys.executable, str(ROOT / "tests" / "support" / "counting_report.py"), *map(str, args)]


def environment(**env):
    return {**os.environ, "PYTHONPATH": str(ROOT), **{HOLD if key == "hold" else key: str(value) for key, value in env.items()}}


def nightly(conf, day, code=0, **env):
    """`textmill nightly` in a process of its own; gives the night, or standard error."""
    done = subprocess.run(
        command("nightly", conf, "--date", day), env=environment(**env), capture_output=True, text=True, check=False
    )
    assert done.returncode == code, (done.returncode, done.stderr)
    return json.loads(done.stdout) if code == 0 else done.stderr


def manifests(out, day):
    """All manifests of a date's revisions, in order."""
    folder = out / "nights" / str(day)
    return [json.loads(path.read_text()) for path in sorted(folder.glob("r*.json"))]


def tables(out):
    """The rows of the current revision of every date."""
    found = {}
    for folder in sorted((out / "nights").iterdir()):
        newest = json.loads(sorted(folder.glob("r*.json"))[-1].read_text())
        assert str(newest["date"]) == folder.name
        path = out / newest["folder"] / "counts.parquet"
        found[folder.name] = (newest["rows"], pq.read_table(path).to_pylist() if path.exists() else [])
    return found


def check(out):
    """I3, I6, I8: what is published is whole, every count agrees, nothing is left."""
    for path in (out / "nights").glob("*/r*.json"):
        body = json.loads(path.read_text())
        assert path == out / manifest_path(date.fromisoformat(body["date"]), body["revision"])
        for file in body["files"]:
            data = (out / body["folder"] / file["path"]).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (file["size_bytes"], file["sha256"])
        rows = [row for row in pq.read_table(out / body["folder"]).to_pylist() if row["date"] == body["date"]]
        assert sum(row["documents"] for row in rows) == body["rows"]
    for path in (out / "_nightly" / "runs").glob("*/*.json"):
        night = json.loads(path.read_text())
        assert (night["status"] == "finished") == (night["exit_code"] == 0)
    store = LocalStore(out)
    assert not list(store.list(STAGING))
    assert (holder(store, CLAIM), holder(store, "_nightly/claim")) == (None, None)
    assert not [entry for entry in store.list("nights") if ".claim/" in entry.path]


def runs(out, day):
    found = [json.loads(path.read_text()) for path in (out / "_nightly" / "runs" / str(day)).glob("*.json")]
    return sorted(found, key=lambda night: night["started"])
