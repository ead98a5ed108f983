"""A watcher with an index: every new part is findable soon, and an index that fails loses no tags and is told of."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.ask.search import PassageIndex
from pipeline.errors import ConfigError
from pipeline.store.local import LocalStore
from tests.support.nights import DAYS, conf_of, write_day
from tests.support.runs import rows

WITHIN_S = 60.0


def job(folder, index_s, more=""):
    settings = f"index_s = {index_s}\n{more}"
    return conf_of(
        folder, folder / "landing", folder / "out", settings, "keep_text = true\nsplit_tokens = 150\n[watch]\npoll_s = 0.5"
    )


def arrive(folder, day, count=24):
    landing = folder / "landing" / f"dt={day}"
    write_day(landing, day, count)
    (landing / "_SUCCESS").touch()


def parts_found(answers):
    with suppress(ConfigError):  # there is none yet
        index = PassageIndex(answers)
        return {(passage.part, passage.id) for passage in index.search("Keller trip loved awful happened", 10_000)}
    return set()


def seen_after(folder, watching, days):
    """Seconds from the publication of each part until it was found, for batches that come one after the other."""
    store, first = LocalStore(folder / "out"), {}
    for number, day in enumerate(days, 1):
        arrive(folder, day)
        until = time.monotonic() + 120
        while len({id for _, id in parts_found(folder / "answers")}) < 24 * number:
            assert time.monotonic() < until, watching.lines
            for part, _ in parts_found(folder / "answers"):
                first.setdefault(part, time.time())
            time.sleep(0.1)
        for part, _ in parts_found(folder / "answers"):
            first.setdefault(part, time.time())
    published = {entry.path: entry.modified_ns / 1e9 for entry in store.list("tags")}
    assert first.keys() == published.keys()
    return [first[path] - published[path] for path in first]


@pytest.mark.parametrize("index_s", [1.0, pytest.param(15.0, marks=pytest.mark.slow)])
@pytest.mark.timeout(400)
def test_every_new_part_is_findable_within_sixty_seconds(tmp_path, watch, index_s, record_property):
    watching = watch(job(tmp_path, index_s), "--index", tmp_path / "answers")
    waited = seen_after(tmp_path, watching, DAYS[:3])
    print(f"index_s {index_s:g}: {len(waited)} parts, found {min(waited):.1f} to {max(waited):.1f} s after publication")
    record_property("seconds", max(waited))
    assert len(waited) > 6
    assert max(waited) < WITHIN_S
    found = parts_found(tmp_path / "answers")
    assert len(found) == len({id for _, id in found}) == len(rows(tmp_path / "out"))
    assert watching.end() == 0


def child_of(pid):
    """The process beside a watcher."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if path.read_text().rsplit(")", 1)[1].split()[1] == str(pid):
                return int(path.parent.name)
    return None


def test_an_index_that_fails_loses_no_tags_and_the_exit_code_says_it(tmp_path, watch):
    (tmp_path / "answers").write_text("a file in the way")
    watching = watch(job(tmp_path, 0.3), "--index", tmp_path / "answers")
    arrive(tmp_path, DAYS[0])
    assert watching.wait(decision="done")["why"].split()[2] == "0"
    told = watching.wait(event="note", text=next(iter(_failures(watching))))
    assert "answers" in told["text"]
    assert len(rows(tmp_path / "out")) == 24
    time.sleep(1)
    assert len(_failures(watching)) == 1, "what is still wrong is not said again"
    assert watching.end() == 2
    (tmp_path / "answers").unlink()
    mended = watch(job(tmp_path, 0.3), "--index", tmp_path / "answers")
    mended.wait(text=f"watching {tmp_path / 'landing'}")
    until = time.monotonic() + 60
    while len(parts_found(tmp_path / "answers")) < 24 and time.monotonic() < until:
        time.sleep(0.1)
    assert len(parts_found(tmp_path / "answers")) == 24
    assert mended.end() == 0


def _failures(watching):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = [line["text"] for line in list(watching.lines) if "the index is not up to date" in line.get("text", "")]
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(watching.lines)


def test_the_process_beside_it_may_die(tmp_path, watch):
    watching = watch(job(tmp_path, 0.5), "--index", tmp_path / "answers")
    watching.wait(text=f"watching {tmp_path / 'landing'}")
    until = time.monotonic() + 30
    while (child := child_of(watching.process.pid)) is None and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    arrive(tmp_path, DAYS[0])
    assert "has died" in _failures(watching)[0]
    until = time.monotonic() + 60
    while len(parts_found(tmp_path / "answers")) < 24 and time.monotonic() < until:
        time.sleep(0.1)
    assert len(parts_found(tmp_path / "answers")) == 24
    watching.process.kill()  # with it goes the process beside it
    watching.process.wait()
    until = time.monotonic() + 20
    while _indexing(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert not _indexing(tmp_path)


def _indexing(folder):
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (
                b"pipeline.ask.index_process" in (path / "cmdline").read_bytes()
                and str(os.getpid()) in (path / "environ").read_text()
            ):
                found.append(path.name)
    return found


def test_what_will_never_be_an_index_is_said_before_anything_is_done(tmp_path):
    import sys

    from tests.support import ROOT

    arrive(tmp_path, DAYS[0])
    (tmp_path / "answers" / "g000001").mkdir(parents=True)
    made = {"output": "/elsewhere", "parts": {}, "passages": 0, "files": {}, "about": {}}
    (tmp_path / "answers" / "g000001" / "manifest.json").write_text(json.dumps(made))
    for verb in ("watch", "nightly"):
        command = [sys.executable, "-m", "jobs", verb, job(tmp_path, 1), "--index", tmp_path / "answers"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 2
        assert "is an index of /elsewhere, not of" in done.stderr
    assert not (tmp_path / "out").exists()
