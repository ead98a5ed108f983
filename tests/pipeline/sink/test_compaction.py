"""What an old output costs: as much as a young one. Compactions save reads and decide nothing, whatever becomes of them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline import faults
from pipeline.contract import Fragment, Split
from pipeline.errors import StoreError
from pipeline.nightly.index import index_of
from pipeline.nightly.revisions import current_revisions
from pipeline.observe import heartbeat as module
from pipeline.observe.heartbeat import Heartbeat, status_of
from pipeline.sink import compaction, plans
from pipeline.sink.compaction import EVERY, SUFFIX
from pipeline.sink.layout import CLAIM, PLANS, STAGING, STATE
from pipeline.sink.plan_log import Plan, decode, encode
from pipeline.sink.plans import PlanLog
from pipeline.store.local import LocalStore
from pipeline.trigger.batch_log import BatchLog
from pipeline.trigger.watcher import Watcher
from tests.support.ages import counted, finished_folders, grow
from tests.support.runs import rows, run, state, write_lines

YOUNG = 10
OLD = int(os.environ.get("TEXTMILL_AGE_PLANS", "80"))
FOLDERS = int(os.environ.get("TEXTMILL_AGE_FOLDERS", "300"))


@pytest.fixture(autouse=True)
def _fresh_process():
    """What this process has read before would hide what another one has to read."""
    plans._kept.clear()


def aged(top, count, rounds):
    """An output of so many plans, after whose next `rounds` runs it is time for a compaction: reads are at their most."""
    data, out = top / "in", top / "out"
    grow(data, out, count)
    write_lines(data / "new0.jsonl", "Volta Energy is in Cork.")
    run(data, out)  # an output of before this version has no compaction: this run writes it
    grow(data, out, count + EVERY - rounds)


def one_run(top, number):
    """Store calls and CPU seconds of a run with one new file."""
    plans._kept.clear()
    write_lines(top / "in" / f"new{number}.jsonl", "Volta Energy is in Cork.")
    began = time.process_time()
    with counted() as calls:
        assert run(top / "in", top / "out").rows_out == 1
    return calls, time.process_time() - began


def one_status(top, count):
    """The same of `status`."""
    plans._kept.clear()
    began = time.process_time()
    with counted() as calls:
        seen = status_of(LocalStore(top / "out"))
    assert seen.parts == seen.planned == seen.plans == count + EVERY
    return calls, time.process_time() - began


def total(calls):
    return sum(calls.values())


def test_a_run_and_status_ask_an_old_output_no_more_than_a_young_one(tmp_path):
    runs, asked = [], []
    for count in (YOUNG, OLD):
        top = tmp_path / str(count)
        aged(top, count, 1)
        runs.append(one_run(top, 1)[0])
        asked.append(one_status(top, count)[0])
    assert total(runs[1]) <= 1.1 * total(runs[0]), runs
    assert runs[0]["list"] == runs[1]["list"]
    assert total(asked[1]) <= total(asked[0])
    assert asked[1]["open_read"] <= EVERY + 2  # plans, a compaction, the last manifest


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_plans_and_ten_thousand_folders_cost_what_ten_cost(tmp_path):
    """The figures of docs/benchmarks.md, "Age of an output"; shown with -rP."""
    rounds, sizes = 5, (YOUNG, int(os.environ.get("TEXTMILL_AGE_PLANS", "1000")))
    for count in sizes:
        aged(tmp_path / str(count), count, rounds)
    runs = [[one_run(tmp_path / str(count), number) for count in sizes] for number in range(1, rounds + 1)]  # in turn
    asked = [one_status(tmp_path / str(count), count) for count in sizes]
    most = [max(total(calls) for calls, _ in each) for each in zip(*runs, strict=True)]
    cpu_s = [min(seconds for _, seconds in each) for each in zip(*runs, strict=True)]
    for count, calls, seconds, (status, status_s) in zip(sizes, most, cpu_s, asked, strict=True):
        print(
            f"{count} plans: a run {calls} calls, {seconds:.3f} s of CPU; status {total(status)} calls, {status_s * 1e3:.1f} ms"
        )
    assert most[1] <= 1.1 * most[0]
    assert cpu_s[1] <= 1.5 * cpu_s[0]  # before there were compactions it was 7 times as much
    for count in (10, int(os.environ.get("TEXTMILL_AGE_FOLDERS", "10000"))):
        begun, first, later, poll_s, list_s = polls(tmp_path / f"watch{count}", count)
        print(
            f"{count} finished folders: begin {total(begun)} calls, first poll {total(first)}, later {total(later)}, "
            f"{poll_s * 1e3:.1f} ms, of which the listing {list_s * 1e3:.1f} ms"
        )


def polls(top, count):
    """Store calls of a watcher's begin and of its later polls, the seconds of one, and those of the bare listing."""
    config = finished_folders(top, count)
    store = LocalStore(top / "out")

    def never(batch, attempt, check):
        raise AssertionError(batch)

    with counted() as begun:
        watcher = Watcher(config, BatchLog(store), never, lambda *line: None)
    with counted() as first:
        watcher.poll()
    poll_s, list_s = [], []
    for _ in range(5):
        began = time.perf_counter()
        with counted() as later:
            watcher.poll()
        poll_s.append(time.perf_counter() - began)
        began = time.perf_counter()
        list(LocalStore(top / "landing").list())
        list_s.append(time.perf_counter() - began)
    return begun, first, later, min(poll_s), min(list_s)


def test_finished_folders_cost_a_watcher_their_place_in_the_listing(tmp_path):
    _, few_first, few, _, _ = polls(tmp_path / "few", 10)
    _, many_first, many, _, _ = polls(tmp_path / "many", FOLDERS)
    assert few == many == Counter(survey=1)
    assert few_first == many_first == Counter(survey=1, list=1)  # the input, and the records


def test_a_marker_or_manifest_that_comes_late_is_seen_though_nothing_is_asked_for(tmp_path):
    config = finished_folders(tmp_path, 3)
    ran = []

    def runner(batch, attempt, check):
        ran.append((batch.folder, batch.mark))
        from pipeline.trigger.batch_log import BatchResult

        return BatchResult(0)

    watcher = Watcher(config, BatchLog(LocalStore(tmp_path / "out")), runner, lambda *line: None)
    folder = tmp_path / "landing" / "batch=00001"
    write_lines(folder / "b.jsonl", "more")
    now = time.time()
    os.utime(folder / "b.jsonl", (now + 1, now + 1))
    watcher.poll()
    assert ran == []
    (folder / "_manifest.json").write_text(
        json.dumps({"files": [{"path": "b.jsonl", "size": (folder / "b.jsonl").stat().st_size}]})
    )
    os.utime(folder / "_manifest.json", (now + 2, now + 2))
    watcher.poll()
    assert ran == [("batch=00001", "manifest")]
    os.utime(folder / "_SUCCESS", (now + 3, now + 3))
    (folder / "_manifest.json").unlink()
    watcher.poll()
    assert ran[1:] == [("batch=00001", "marker")]


def night_reads(top, count):
    """Files that the index of days and the current revisions read, in an output of so many plans and published dates."""
    out = top / "out"
    grow(top / "in", out, count)
    days = out / "_nightly" / "days" / "UTC"
    days.mkdir(parents=True)
    for number in range(1, count + 1):
        body = {
            "plan": number,
            "zone": "UTC",
            "undated": number % 3,
            "days": {f"2024-01-{number % 28 + 1:02d}": [1, f"{number:032x}"]},
        }
        (days / f"plan-{number:06d}.json").write_text(json.dumps(body))
        night = out / "nights" / f"2{number:03d}-01-01"
        night.mkdir(parents=True)
        (night / "r0001.json").write_text(json.dumps({"inputs": {"x": [[number]]}, "settings": {}, "files": []}))
    store = LocalStore(out)
    found = []
    for _ in range(2):
        plans._kept.clear()
        with counted() as calls:
            found.append((index_of(store, "UTC"), current_revisions(store)))
    assert found[0] == found[1]
    index, revisions = found[1]
    assert sum(index.rows(day) for day in index.days) == len(revisions) == count
    for path in out.rglob(f"*{SUFFIX}"):
        path.write_bytes(path.read_bytes()[:-1])
    plans._kept.clear()
    assert (index_of(store, "UTC"), current_revisions(store)) == found[0]
    return calls


def test_a_night_reads_no_more_of_an_old_output_than_of_a_young_one(tmp_path):
    young, old = (night_reads(tmp_path / str(count), count) for count in (EVERY - 1, OLD))
    assert total(old) - old["open_read"] == total(young) - young["open_read"]
    assert old["open_read"] - OLD <= young["open_read"]  # without a run there is no compaction of the plans themselves


class Hiding(LocalStore):
    """A store that has no compactions."""

    def list(self, folder=""):
        return (entry for entry in super().list(folder) if not entry.path.endswith(SUFFIX))


class Log(RuleBasedStateMachine):
    """Plans are made and finished, generations begin, compactions are written, damaged, removed and left behind by other logs:
    what is read through them is what the plans say."""

    def __init__(self):
        super().__init__()
        self.top = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
        self.store, self.plain = LocalStore(self.top), Hiding(self.top)
        self.logs = [PlanLog(self.store), PlanLog(self.store)]
        self.generation = 1
        self.usual, plans.EVERY = plans.EVERY, 1
        for names in ("ab", "c"):
            self._add(self.logs[0], names, "/in")

    @rule(which=st.integers(0, 1), names=st.lists(st.sampled_from("abcdef"), max_size=4), root=st.sampled_from(["/in", "/in/x"]))
    def add(self, which, names, root):
        self._add(self.logs[which], names, root)

    def _add(self, log, names, root):
        log.look()
        number = max((head.number for head in log.heads), default=0) + 1
        new = [f"{name}{number}" for name in names]  # a file is named by one plan of a generation
        pieces = [Fragment(name, "jsonl", at, at + 1, len(names), number, 1) for name in new for at in range(2)]
        splits = [Split(number, at, tuple(pieces[at * 3 : at * 3 + 3])) for at in range((len(pieces) + 2) // 3)]
        assert log.add(Plan(number, self.generation, root, {"model": list(names)}, tuple(splits)))

    @rule(which=st.integers(0, 1), at=st.integers(0, 99))
    def finish(self, which, at):
        log = self.logs[which]
        log.look()
        if log.heads:
            log.finish(log.plan(log.heads[at % len(log.heads)].number), {"made": []})

    @precondition(lambda self: self.current() == self.generation)
    @rule()
    def tag_anew(self):
        self.generation += 1

    @rule(which=st.integers(0, 1), everything=st.booleans())
    def compact(self, which, everything):
        log = self.logs[which]
        log.look()
        for head in log.heads if everything else ():
            log.finish(log.plan(head.number), {"made": []})
        log.look()
        log.compact()

    @rule(at=st.integers(0, 10_000), how=st.sampled_from(["flip", "cut", "remove", "empty"]))
    def damage(self, at, how):
        for path in sorted(self.top.rglob(f"*{SUFFIX}"))[-1:]:
            data = bytearray(path.read_bytes())
            if how == "remove":
                path.unlink()
            elif data:
                data[at % len(data)] ^= 1 + at % 255
                path.write_bytes({"flip": data, "cut": data[: at % len(data)], "empty": b""}[how])

    @rule(at=st.integers(0, 99), what=st.sampled_from([".parquet", ".done.json"]))
    def removed_by_hand(self, at, what):
        found = sorted((self.top / PLANS).glob(f"*{what}"))[:-1]  # a number that is free would be taken again
        if found:
            found[at % len(found)].unlink()

    @rule(at=st.integers(0, 99))
    def replaced_by_hand(self, at):
        """As by a backup that is put back; who has read it before is not told."""
        found = sorted((self.top / PLANS).glob("*.parquet"))
        if found:
            path = found[at % len(found)]
            old, data = decode(path.read_bytes(), path.name), path.read_bytes()
            for more in range(1, 100):  # a file of another size
                piece = Fragment(f"{'other' * more}{old.number}", "jsonl", 0, 1, more, 7, 1)
                if len(data) != path.stat().st_size:
                    break
                data = encode(Plan(old.number, old.generation, old.root, old.settings, (Split(old.number, 0, (piece,)),)))
            path.write_bytes(data)
            self.logs = [PlanLog(self.store), PlanLog(self.store)]

    def current(self):
        log = PlanLog(self.plain)
        log.look()
        return log.current

    @invariant()
    def a_log_says_what_the_plans_say(self):
        plain = PlanLog(self.plain)
        plain.look()
        plans._kept.clear()
        for log in (PlanLog(self.store), self.logs[0]):
            log.look()
            assert (log.heads, log.done, log.newest, log.current) == (plain.heads, plain.done, plain.newest, plain.current)
            assert log.named() == plain.named()
            assert [log.plan(head.number) for head in log.heads] == [plain.plan(head.number) for head in plain.heads]
            assert [len(log.plan(head.number).splits) for head in log.heads] == [head.splits for head in log.heads]

    def teardown(self):
        plans.EVERY = self.usual
        assert len(list(self.top.rglob(f"*{SUFFIX}"))) <= compaction.KEPT
        shutil.rmtree(self.top)


@pytest.mark.parametrize("how", ["flip", "cut", "empty", "remove", "replaced", "removed"])
def test_a_compaction_that_is_damaged_or_no_longer_true_counts_for_nothing(how):
    for at in range(0, 5000, 250 if how == "flip" else 5000):
        machine = Log()
        machine.compact(which=0, everything=True)
        machine.a_log_says_what_the_plans_say()
        if how == "replaced":
            machine.replaced_by_hand(at=0)
        elif how == "removed":
            machine.removed_by_hand(at=0, what=".parquet")
        else:
            machine.damage(at=at, how=how)
        machine.a_log_says_what_the_plans_say()
        machine.teardown()


TestLog = Log.TestCase
TestLog.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)


@pytest.mark.parametrize("point", faults.COMPACT_POINTS)
def test_killed_while_it_compacts_and_run_again(point, tmp_path):
    """Nothing is lost and nothing comes twice; the next run that tags something writes the compaction."""
    data, out = tmp_path / "in", tmp_path / "out"
    grow(data, out, EVERY)
    write_lines(data / "new.jsonl", "Volta Energy is in Cork.")
    command = [
        sys.executable,
        "-m",
        "jobs",
        "tag",
        str(data),
        str(out),
        "--model",
        "en-fast",
        "--id-column",
        "id",
        "--threads",
        "1",
    ]
    killed = subprocess.run(command, env={**os.environ, faults.ENV: point}, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    there = {path.name: path.read_bytes() for path in (out / "tags").iterdir()}
    assert len(there) == EVERY + 1
    assert run(data, out).status == "nothing to do"
    write_lines(data / "newer.jsonl", "We met in Lyon.")
    assert run(data, out).rows_out == 1
    after = {path.name: path.read_bytes() for path in (out / "tags").iterdir()}
    assert len(after) == EVERY + 2
    assert there.items() <= after.items()
    assert {row["id"] for row in rows(out)} >= {"new-0", "newer-0"}
    assert not list(LocalStore(out).list(STAGING))
    assert len(list((out / PLANS).glob(f"*{SUFFIX}"))) == 1
    before = without_claim(out)
    assert run(data, out).status == "nothing to do"
    assert without_claim(out) == before


def without_claim(out):
    """Every file but those of the claim, which has a new number whenever it is taken."""
    return {name: data for name, data in state(out).items() if not name.startswith(CLAIM)}


def test_a_version_that_knows_no_compaction_reads_the_same_plans(tmp_path):
    """It takes all that ends in .parquet for a plan, and knows finished ones by their .done.json."""
    data, out = tmp_path / "in", tmp_path / "out"
    grow(data, out, EVERY)
    write_lines(data / "new.jsonl", "Volta Energy is in Cork.")
    run(data, out)
    kinds = Counter(path.name.partition(".")[2] for path in (out / PLANS).iterdir())
    assert kinds == {"parquet": EVERY + 1, "done.json": EVERY + 1, "compact": 1}


class Mute(LocalStore):
    """A store that does not answer when a file is created, until it is told to."""

    def __init__(self, root):
        super().__init__(root)
        self.asked, self.answers = threading.Event(), threading.Event()

    def create_exclusive(self, path):
        self.asked.set()
        self.answers.wait(60)
        return super().create_exclusive(path)


def test_a_store_that_is_mute_does_not_hold_up_the_run(tmp_path, monkeypatch):
    """The state is written beside the run; its end waits no longer than END_S for it, and nothing is left when it answers."""
    monkeypatch.setattr(module, "EVERY_S", 0.0)
    monkeypatch.setattr(module, "END_S", 0.01)
    store = Mute(tmp_path)
    shown = []
    file = Heartbeat(store, "run")
    for number in range(100):  # each would wait for a minute
        file.show(lambda number=number: shown.append(number) or {"number": number})
    assert store.asked.wait(60)
    assert shown == [0]  # one is on its way; who is late is not asked
    file.close()
    store.answers.set()
    file._thread.join(60)
    assert not file._thread.is_alive()
    assert not list(store.list())


def test_the_state_is_written_again_and_again_and_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EVERY_S", 0.0)
    store = LocalStore(tmp_path)
    file = Heartbeat(store, "run")
    for number in range(5):
        file.show(lambda number=number: {"number": number})
        file._thread.join(60)
        assert json.loads((tmp_path / STATE).read_text())["number"] == number
    file.close()
    assert not list(store.list())


def test_what_a_store_refuses_does_not_disturb_the_run(tmp_path, monkeypatch):
    def refused(self, path):
        raise StoreError(path, "no")

    monkeypatch.setattr(module, "EVERY_S", 0.0)
    monkeypatch.setattr(LocalStore, "create_exclusive", refused)
    file = Heartbeat(LocalStore(tmp_path), "run")
    file.show(dict)
    file.close()
    assert not file._thread.is_alive()
