"""Plans, attempts, commits, kills, duplicates and restarts in any order, beside a dict that says what must be there."""

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pipeline.contract import DocumentSpec, Fragment, RejectedDocument, Split
from pipeline.errors import MissingError, PipelineError, UnavailableError
from pipeline.sink import attempt as module
from pipeline.sink import ledger
from pipeline.sink.attempt import Attempt
from pipeline.sink.layout import STAGING
from pipeline.sink.plan_log import Plan, write_finished, write_plan
from pipeline.sink.plans import PlanLog
from pipeline.source.read_counts import ReadCounts
from pipeline.store.local import LocalStore
from pipeline.worker.worker import TagWorker
from tests.support.ages import load_plans
from tests.support.runs import run, write_lines

SCHEMA = DocumentSpec().schema()
POINTS = ("part.close.after", "part.verify.after", "part.rename.after", "side.rename.after")


class Killed(BaseException):
    """The process ends here."""


def rows_of(split):
    ids = [f"{split.name}/{i}" for i in range(3)]
    empty = {"negative": 0.0, "neutral": 1.0, "positive": 0.0}
    columns = {"id": ids, "lang": ["en"] * 3, "entities": [[]] * 3, "sentiment": ["neutral"] * 3, "words": [[]] * 3}
    columns |= {"source": [None] * 3, "created_at": [None] * 3, "sentiment_scores": [empty] * 3}
    return pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)], SCHEMA)


class Machine(RuleBasedStateMachine):
    attempts = Bundle("attempts")

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = LocalStore(self.folder / "out")
        self.plans: list[Plan] = []
        self.committed: dict[str, str] = {}  # part -> attempt
        self.bytes: dict[str, bytes] = {}
        self.count = 0
        self.begun: list[Attempt] = []

    @rule(splits=st.integers(0, 3))
    def plan(self, splits):
        number = len(self.plans) + 1
        made = tuple(Split(number, i, (Fragment(f"{number}-{i}", "jsonl", 0, 9, 9, 0, 1),)) for i in range(splits))
        plan = Plan(number, 1, "/data", {}, made)
        assert write_plan(self.store, plan)
        assert not write_plan(self.store, Plan(number, 1, "/other", {}, ()))  # who comes second changes nothing
        self.plans.append(plan)

    @rule(target=attempts, data=st.data())
    def begin(self, data):
        """Also a second attempt at a split that another works on, or that is done."""
        splits = [split for plan in self.plans for split in plan.splits]
        if not splits:
            return None
        split = data.draw(st.sampled_from(splits))
        self.count += 1
        name = f"run-{self.count:04d}"
        attempt = Attempt(self.store, split, name, "", SCHEMA, {"run": "run"})
        self.begun.append(attempt)
        letter = RejectedDocument(split.fragments[0].path, 0, None, "not_json", "", b"x")
        attempt.add(rows_of(split), [letter], Counter())
        return attempt, split, name

    @rule(given=consumes(attempts), point=st.sampled_from([None, *POINTS]))
    def commit_or_die(self, given, point):
        if given is None:
            return
        attempt, split, name = given
        first = split.name not in self.committed

        def die(here, place=""):
            if here == point:
                raise Killed

        usual, module.point = module.point, die
        try:
            done = attempt.commit(0, {}, [ReadCounts(4)])
            assert done.ours == first
        except Killed:
            pass
        except MissingError:
            assert not first  # it has outlived its driver, and the next run has cleaned up behind the part that is there
            attempt.abort()
        finally:
            module.point = usual
        if first and point not in ("part.close.after", "part.verify.after"):
            self.committed[split.name] = name

    @rule(given=consumes(attempts))
    def give_up(self, given):
        if given is not None:
            given[0].abort()

    @rule()
    def restart(self):
        ledger.recover(self.store, ledger.parts(self.store))
        for part, attempt in self.committed.items():
            letters = self.store.root / "dead_letters" / f"{part}.parquet"
            assert module.read_footer(self.store, f"dead_letters/{part}.parquet")["attempt"] == attempt
            assert pq.read_metadata(letters).num_rows == 1  # I1
        for plan in load_plans(self.store):
            if not ledger.missing([plan], ledger.parts(self.store)):
                write_finished(self.store, plan, ledger.counts_of(self.store, plan, ledger.parts(self.store)))
                log = PlanLog(self.store)
                log.look()
                assert plan.number in log.done

    @invariant()
    def what_is_there_is_what_was_committed(self):
        there = ledger.parts(self.store)
        assert set(there) == set(self.committed)
        for name, path in there.items():
            data = (self.store.root / path).read_bytes()
            assert self.bytes.setdefault(name, data) == data  # I4: nothing that is published changes
            assert pq.read_table(self.store.root / path)["id"].to_pylist() == [f"{name}/{i}" for i in range(3)]  # I2, I3

    def teardown(self):
        for attempt in self.begun:
            with suppress(PipelineError, OSError):
                attempt.abort()  # else what it had open is closed in any order, some time
        shutil.rmtree(self.folder)


Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
test_any_order_of_events = Machine.TestCase


def test_the_part_of_another_attempt_stays(tmp_path):
    store = LocalStore(tmp_path)
    split = Split(1, 0, (Fragment("a", "jsonl", 0, 9, 9, 0, 1),))
    first, second = (Attempt(store, split, name, "", SCHEMA, {"run": "r"}) for name in ("one", "two"))
    for attempt in (first, second):
        attempt.add(rows_of(split), [], Counter())
    assert first.commit(1, {}, [ReadCounts(3)]).ours
    done = second.commit(2, {}, [ReadCounts(3)])
    assert (done.ours, done.attempt, done.tokens) == (False, "one", 1)
    assert done.sha256 == hashlib.sha256((tmp_path / "tags" / f"{split.name}.parquet").read_bytes()).hexdigest()
    assert not list(store.list(STAGING))


def test_a_part_whose_worker_died_before_it_could_say_so_is_in_the_manifest(tmp_path, monkeypatch):
    work, calls = TagWorker.run, []

    def mute(self, split, *rest, **more):
        done = work(self, split, *rest, **more)
        calls.append(done)
        if len(calls) == 1:
            raise UnavailableError(split.name, "the answer is lost")
        return done

    monkeypatch.setattr(TagWorker, "run", mute)
    write_lines(tmp_path / "a.jsonl", "Cork.", "Paris.")
    result = run(tmp_path / "a.jsonl", tmp_path / "out")
    assert [done.ours for done in calls] == [True, False]
    assert (result.rows_out, result.parts) == (2, 1)
    (part,) = json.loads(Path(result.manifest).read_text())["parts"]
    assert (part["attempt"], part["sha256"]) == (calls[0].attempt, calls[0].sha256)


def test_a_rename_that_worked_and_said_it_did_not(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    rename = LocalStore.rename_no_overwrite

    def lost(self, source, target):
        rename(self, source, target)
        raise UnavailableError(target, "the answer was lost")

    split = Split(1, 0, (Fragment("a", "jsonl", 0, 9, 9, 0, 1),))
    attempt = Attempt(store, split, "one", "", SCHEMA, {"run": "r"})
    attempt.add(rows_of(split), [], Counter())
    monkeypatch.setattr(LocalStore, "rename_no_overwrite", lost)
    assert attempt.commit(1, {}, [ReadCounts(3)]).ours


def test_a_rename_that_failed_leaves_nothing(tmp_path, monkeypatch):
    def broken(self, source, target):
        raise UnavailableError(target, "away")

    store = LocalStore(tmp_path)
    split = Split(1, 0, (Fragment("a", "jsonl", 0, 9, 9, 0, 1),))
    attempt = Attempt(store, split, "one", "", SCHEMA, {"run": "r"})
    attempt.add(rows_of(split), [], Counter())
    monkeypatch.setattr(LocalStore, "rename_no_overwrite", broken)
    with pytest.raises(UnavailableError, match="away"):
        attempt.commit(1, {}, [ReadCounts(3)])
    attempt.abort()
    assert not list(store.list())


def test_a_file_that_was_written_short_is_thrown_away(tmp_path, monkeypatch):
    from contextlib import contextmanager

    create = LocalStore.create_exclusive

    @contextmanager
    def short(self, path):
        with create(self, path) as stream:
            yield stream
        (self.root / path).write_bytes((self.root / path).read_bytes()[:-7])

    monkeypatch.setattr(LocalStore, "create_exclusive", short)
    store = LocalStore(tmp_path)
    split = Split(1, 0, (Fragment("a", "jsonl", 0, 9, 9, 0, 1),))
    attempt = Attempt(store, split, "one", "", SCHEMA, {"run": "r"})
    attempt.add(rows_of(split), [], Counter())
    with pytest.raises(UnavailableError, match="not whole"):
        attempt.commit(1, {}, [ReadCounts(3)])
    attempt.abort()
    assert not list(store.list())
