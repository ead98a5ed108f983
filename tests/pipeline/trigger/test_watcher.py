"""Exactly one run a batch revision, whatever arrives when, whoever looks, and however often it is hinted at, killed or begun
anew."""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipeline.errors import ClaimedError, UnavailableError
from pipeline.nightly.config import load_night
from pipeline.nightly.garbage_collect import garbage_collect
from pipeline.store.local import LocalStore
from pipeline.trigger import batch_log
from pipeline.trigger.batch_log import BatchLog, BatchResult
from pipeline.trigger.batches import Landing
from pipeline.trigger.decide import decide
from pipeline.trigger.watcher import Watcher
from tests.support.nights import conf_of

SETTLE_S = 100.0
FOLDERS = ["dt=2024-02-28", "dt=2024-02-29"]


class Killed(BaseException):
    """The watcher's process ends here."""


class World:
    """A landing folder with a clock of its own, two watchers, and what was run of it."""

    def __init__(self, attempts=3):
        self.top = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
        self.landing = self.top / "landing"
        self.landing.mkdir()
        more = f"[watch]\nsettle_s = {SETTLE_S}\nattempts = {attempts}\nretry_s = 10\n"
        self.config = load_night(conf_of(self.top, self.landing, self.top / "out", tag=more))
        self.now_s = 1e9
        self.next = []  # how runs end
        self.completed = []
        self.changed_s = {}
        self.written = 0
        self.lines = []
        self.watchers = [self.watcher() for _ in range(2)]

    def watcher(self):
        def say(*line):
            self.lines.append(line)

        def now():
            return self.now_s

        return Watcher(self.config, BatchLog(LocalStore(self.top / "out")), self.run, say, monotonic=now)

    def write(self, folder, name, text=None):
        self.written += 1
        path = self.landing / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"id": str(self.written)}) + "\n" if text is None else text)
        os.utime(path, (self.now_s, self.now_s))
        self.changed_s[folder] = self.now_s

    def is_settled(self, batch):
        folder = self.landing / batch.folder
        newest_s = max(path.stat().st_mtime for path in folder.glob("*.jsonl"))
        marker = folder / "_SUCCESS"
        marked = marker.exists() and marker.stat().st_mtime >= newest_s
        return marked or batch.mark == "manifest" or self.now_s - newest_s >= SETTLE_S

    def run(self, batch, attempt, check):
        assert self.is_settled(batch)
        assert batch.revision in {now.revision for now in self.batches()}
        outcome = self.next.pop() if self.next else "done"
        if outcome == "killed":
            raise Killed
        if outcome == "busy":
            raise ClaimedError("a night is at work")
        if outcome == "again":
            return BatchResult(3, error="try again")
        if outcome == "other polls":
            before = list(self.completed)
            for watcher in self.watchers:
                watcher.poll()
            assert batch.revision not in self.completed[len(before) :]
        self.completed.append(batch.revision)
        return BatchResult(4 if outcome == "failed" else 0)

    def poll(self, number, hints=()):
        try:
            self.watchers[number].poll(hints)
        except Killed:
            self.watchers[number] = self.watcher()

    def batches(self):
        return Landing(self.config.tag, "_SUCCESS", "_manifest.json").look()


class Arrivals(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.world = World(attempts=1000)

    @rule(folder=st.sampled_from(FOLDERS), name=st.sampled_from(["a.jsonl", "b.jsonl"]))
    def arrive(self, folder, name):
        self.world.write(folder, name)

    @rule(folder=st.sampled_from(FOLDERS))
    def mark(self, folder):
        self.world.write(folder, "_SUCCESS", "")

    @rule(folder=st.sampled_from(FOLDERS))
    def half(self, folder):
        self.world.write(folder, "c.jsonl.tmp", "{")

    @rule(seconds=st.sampled_from([1.0, 50.0, 99.0, 100.0, 500.0]))
    def wait(self, seconds):
        self.world.now_s += seconds

    @rule(number=st.integers(0, 1), hints=st.lists(st.sampled_from([*FOLDERS, "nowhere", ""]), max_size=3))
    def poll(self, number, hints):
        self.world.poll(number, [f"{self.world.landing}/{hint}" for hint in hints])

    @rule(number=st.integers(0, 1))
    def restart(self, number):
        self.world.watchers[number] = self.world.watcher()

    @rule(outcome=st.sampled_from(["killed", "busy", "again", "failed", "other polls"]))
    def fate(self, outcome):
        self.world.next.append(outcome)

    @invariant()
    def never_twice(self):
        assert len(self.world.completed) == len(set(self.world.completed))

    def teardown(self):
        try:
            self.settle()
        finally:
            shutil.rmtree(self.world.top)

    def settle(self):
        world = self.world
        world.next = []
        for _ in range(3):
            world.now_s += 2 * SETTLE_S + 1e6
            for number in range(2):
                world.poll(number)
        assert {batch.revision for batch in world.batches()} <= set(world.completed)
        assert len(world.completed) == len(set(world.completed))
        records = {path.stem for path in (world.top / "out" / "_watch" / "batches").glob("*.json")}
        assert records == set(world.completed)
        store = LocalStore(world.top / "out")
        left = {e.path.split("/")[2] for kind in ("claims", "attempts", "_staging") for e in store.list(f"_watch/{kind}")}
        assert not left & records
        garbage_collect(store, time.time() + 1e9, 24)  # what was left of revisions that are no more
        assert {entry.path.split("/")[1] for entry in store.list("_watch")} <= {"batches"}


TestArrivals = Arrivals.TestCase
TestArrivals.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


@pytest.fixture
def world():
    made = World()
    yield made
    shutil.rmtree(made.top)


def test_a_marker_that_was_there_before_the_data_says_nothing(world):
    world.write(FOLDERS[0], "_SUCCESS", "")
    world.now_s += 1
    world.poll(0)
    assert world.completed == []
    world.write(FOLDERS[0], "a.jsonl")
    world.poll(0)
    assert world.completed == []
    world.write(FOLDERS[0], "_SUCCESS", "")  # and now it is written again
    world.poll(0)
    assert len(world.completed) == 1


def test_a_manifest_says_which_files_are_to_be_there(world):
    world.write(FOLDERS[0], "a.jsonl", "12345\n")
    world.write(FOLDERS[0], "late.jsonl", "1\n")
    listed = {"files": [{"path": "a.jsonl", "size": 6}, {"path": "b.jsonl", "size": 3}]}
    world.write(FOLDERS[0], "_manifest.json", json.dumps(listed))
    world.poll(0)
    world.now_s += 10 * SETTLE_S  # what the manifest lacks is not made up for by time
    world.poll(0)
    assert world.completed == []
    assert "names b.jsonl, which is not there so" in world.lines[-1][-1]
    world.write(FOLDERS[0], "b.jsonl", "12\n")
    os.utime(world.landing / FOLDERS[0] / "_manifest.json", (world.now_s, world.now_s))
    world.poll(0)
    (batch,) = world.batches()
    assert world.completed == [batch.revision]
    assert [entry.path.rpartition("/")[2] for entry in batch.files] == ["a.jsonl", "b.jsonl"]


def test_a_manifest_that_cannot_be_read_is_told_and_holds_the_batch(world):
    world.write(FOLDERS[0], "a.jsonl")
    world.write(FOLDERS[0], "_manifest.json", "{")
    for _ in range(3):
        world.now_s += 10 * SETTLE_S
        world.poll(0)
    assert world.completed == []
    assert [line[2:] for line in world.lines] == [("wait", "_manifest.json cannot be read: JSONDecodeError")]


def test_a_batch_that_is_rewritten_is_run_again_once(world):
    for _ in range(2):
        world.write(FOLDERS[0], "a.jsonl")
        world.write(FOLDERS[0], "_SUCCESS", "")
        for _ in range(3):
            world.poll(0, [str(world.landing / FOLDERS[0])])
            world.poll(1)
        world.now_s += 1
    assert len(world.completed) == len(set(world.completed)) == 2


def test_what_ends_with_try_again_is_tried_so_often_and_then_given_up(world):
    world.write(FOLDERS[0], "a.jsonl")
    world.write(FOLDERS[0], "_SUCCESS", "")
    world.next = ["again"] * 10
    for _ in range(20):
        world.poll(0)
        world.now_s += 15
    (record,) = (json.loads(path.read_text()) for path in (world.top / "out/_watch/batches").glob("*.json"))
    assert (record["exit_code"], record["attempts"], len(world.next)) == (3, 3, 7)
    waits = [line[-1] for line in world.lines if line[2] == "wait"]
    assert waits == ["attempt 1: try again; again in 10 s", "attempt 2: try again; again in 20 s"]


def test_a_record_that_cannot_be_written_is_written_later(world, monkeypatch):
    """The batch counts as not ended: another look runs it again, which finds nothing to do, and records it."""
    world.write(FOLDERS[0], "a.jsonl")
    world.write(FOLDERS[0], "_SUCCESS", "")
    write, away = batch_log.write_whole, [True]

    def refused(*given):
        if away:
            raise UnavailableError(given[1], "the share is away")
        return write(*given)

    monkeypatch.setattr(batch_log, "write_whole", refused)
    records = world.top / "out" / "_watch" / "batches"
    for _ in range(2):
        world.poll(0)
        world.now_s += 15
        assert list(records.glob("*.json")) == []
        assert len(list((world.top / "out").rglob("_watch/attempts/*/*.json"))) > 0
    away.clear()
    world.poll(0)
    (record,) = (json.loads(path.read_text()) for path in records.glob("*.json"))
    assert (record["exit_code"], record["attempts"]) == (0, 3)


def test_a_busy_output_is_no_attempt(world):
    world.write(FOLDERS[0], "a.jsonl")
    world.write(FOLDERS[0], "_SUCCESS", "")
    world.next = ["busy"] * 10
    for _ in range(11):
        world.poll(0)
    assert len(world.completed) == 1
    assert [line[2] for line in world.lines] == ["run", "wait", "run", "wait"][:2] + ["run", "wait"] * 9 + ["run", "done"]


def test_one_line_for_each_decision_that_is_new(world):
    world.write(FOLDERS[0], "a.jsonl")
    for _ in range(5):
        world.poll(0, [f"{world.landing}/nowhere"] if not world.lines else ())
    assert [line[2:] for line in world.lines] == [
        ("wait", "a hint names it, and it is not there (yet)"),
        ("wait", "not unchanged for 100 s yet"),
    ]
    world.now_s += SETTLE_S
    for _ in range(5):
        world.poll(0)
    assert [line[2] for line in world.lines[2:]] == ["run", "done"]
    world.watchers[0] = world.watcher()
    for _ in range(3):
        world.poll(0)
        world.now_s += SETTLE_S
    assert len(world.lines) == 4


def test_an_input_that_is_away_is_told_and_looked_at_again(world):
    world.landing.rmdir()
    world.poll(0)
    assert "cannot be looked at" in world.lines[-1][-1]
    world.landing.mkdir()
    world.write(FOLDERS[0], "a.jsonl")
    world.write(FOLDERS[0], "_SUCCESS", "")
    world.poll(0)
    assert len(world.completed) == 1


def test_who_has_decided_and_then_finds_the_record_runs_nothing(world):
    world.write(FOLDERS[0], "a.jsonl")
    world.write(FOLDERS[0], "_SUCCESS", "")
    slow, fast = world.watchers
    run = slow._run

    def meanwhile(decision):
        fast.poll()
        return run(decision)

    slow._run = meanwhile
    slow.poll()
    assert world.completed == [world.batches()[0].revision]
    assert not list(LocalStore(world.top / "out").list("_watch/claims"))


def test_a_batch_that_changes_between_look_and_run_waits_for_the_next_look(world):
    world.write(FOLDERS[0], "a.jsonl")
    world.write(FOLDERS[0], "_SUCCESS", "")
    watcher = world.watchers[0]
    claim = watcher._claimed

    def late(*args):
        world.now_s += 1
        world.write(FOLDERS[0], "a.jsonl")
        return claim(*args)

    watcher._claimed = late
    world.poll(0)
    assert (world.completed, world.lines[-1][2:]) == ([], ("wait", "it has changed just now"))
    watcher._claimed = claim
    world.now_s += SETTLE_S
    world.poll(0)
    world.now_s += SETTLE_S
    world.poll(0)
    assert world.completed == [world.batches()[0].revision]


def test_deciding_needs_nothing_but_what_it_is_given(world):
    world.write(FOLDERS[0], "a.jsonl")
    batches = world.batches()
    memory, (first,) = decide({}, 0.0, batches, {}, SETTLE_S)
    assert (first.action, decide({}, 0.0, batches, {}, SETTLE_S)[0]) == ("wait", memory)
    assert [decide(memory, now_s, batches, {}, SETTLE_S)[1][0].action for now_s in (99.9, 100.0)] == ["wait", "run"]
    assert decide(memory, 100.0, batches, {batches[0].revision: 101.0}, SETTLE_S)[1][0].action == "wait"
    assert decide(memory, 101.0, batches, {batches[0].revision: 101.0}, SETTLE_S)[1][0].action == "run"
