"""The claim: one owner at any time, on every backend, whatever happens between any two calls of the store."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pipeline.errors import ClaimedError, LostClaimError, StoreError, UnavailableError
from pipeline.store.claim import Claim, claimed, held, holder
from pipeline.store.local import LocalStore
from pipeline.store.open import open_store
from pipeline.store.owner import Owner, is_dead, this_process
from pipeline.store.settings import StoreConfig
from tests.support.claim_world import CLAIM_S, GRACE_S, World, play
from tests.support.webhdfs_stand_in import StandIn

ELSEWHERE = Owner("x", "elsewhere", 1, "another boot", 1)
BACKENDS = ["local", "stand-in", "s3", *(pytest.param(name, marks=pytest.mark.slow) for name in ("hdfs-native", "webhdfs"))]
# How many calls an operation makes at most.
CALLS = 14
# Examples of the two stateful tests: as many as take some seconds.
EXAMPLES = {"local": (100, 500), "stand-in": (8, 15), "s3": (5, 5), "hdfs-native": (4, 8), "webhdfs": (3, 5)}


@pytest.fixture(params=BACKENDS)
def fresh(request):
    """Makes stores that nobody has used."""
    backend = request.param
    made = {"local": _local, "stand-in": _stand_in, "s3": _s3}.get(backend, _hdfs)
    with made(request) as fresh:
        fresh.backend = backend
        yield fresh


@contextmanager
def _local(request):
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as top:
        yield lambda: LocalStore(Path(top) / uuid4().hex)


@contextmanager
def _stand_in(request):
    server = StandIn()
    try:
        config = StoreConfig(client="webhdfs", namenodes=(server.url,), timeout_s=20.0, retry_s=5.0, user="u")
        yield lambda: open_store(f"hdfs://x/{uuid4().hex}", config)
    finally:
        server.close()


@contextmanager
def _s3(request):
    request.getfixturevalue("s3")
    yield lambda: open_store(f"s3://textmill/claims/{uuid4().hex}")


@contextmanager
def _hdfs(request):
    hdfs = request.getfixturevalue("hdfs")
    client = {"hdfs-native": "native"}.get(request.param if hasattr(request, "param") else "", "webhdfs")
    config = hdfs.config(client=client, retry_s=5.0)
    yield lambda: open_store(f"{hdfs.url}/claims/{uuid4().hex}", config)


@contextmanager
def world_of(fresh, machines=3):
    world = World(fresh(), machines)
    try:
        yield world
    finally:
        world.close()


SECONDS = st.sampled_from([0.4, 13.0, 50.0, 63.0, 63.0])
NUMBERS = st.integers(0, 2)
WHAT = st.sampled_from(["on", "on", "release"])
# What happens while a machine is stopped: again and again another one does something, and time passes.
MEANWHILE = st.lists(st.tuples(NUMBERS, WHAT, SECONDS), min_size=1, max_size=3)


class Machines(RuleBasedStateMachine):
    """Three machines; any of them stops before any call of the store, for any time, goes on, dies, loses an answer."""

    fresh = None

    def __init__(self):
        super().__init__()
        self.world = World(type(self).fresh())

    @initialize(before=st.sampled_from(["nothing", "held", "held", "released"]), seconds=SECONDS)
    def begin_somewhere(self, before, seconds):
        if before != "nothing":
            self.work(0, "on")
            self.world.wait(seconds)
        if before == "released":
            self.work(0, "release")

    def begin(self, number, what):
        """What is next for a machine: it takes the claim, or renews it."""
        machine = self.world.machines[number]
        if machine.busy:
            return None
        if machine.claim._lost:
            machine.claim.release()
        machine.begin("take" if not machine.claim.number else "release" if what == "release" else "renew")
        return machine

    def work(self, number, what):
        if machine := self.begin(number, what):
            machine.finish()

    @rule(number=NUMBERS, seconds=SECONDS)
    def work_and_wait(self, number, seconds):
        self.work(number, "on")
        self.world.wait(seconds)

    def _work_with_a_pause(self, number, what, calls, seconds, meanwhile):
        machine = self.begin(number, what)
        if machine is None:
            return
        machine.step(calls)
        self.world.wait(seconds)
        for other, its, seconds in meanwhile:
            self.work(other, its)
            self.world.wait(seconds)
        machine.finish()

    # Twice, so that it is chosen more often, and where it is most dangerous.
    work_with_a_pause = rule(number=NUMBERS, what=WHAT, calls=st.integers(0, CALLS), seconds=SECONDS, meanwhile=MEANWHILE)(
        _work_with_a_pause
    )
    pause_early = rule(number=NUMBERS, what=st.just("on"), calls=st.integers(0, 3), seconds=SECONDS, meanwhile=MEANWHILE)(
        lambda self, number, what, calls, seconds, meanwhile: self._work_with_a_pause(number, what, calls, seconds, meanwhile)
    )

    @rule(number=NUMBERS, calls=st.integers(0, CALLS))
    def stop_or_go_on(self, number, calls):
        (self.begin(number, "on") or self.world.machines[number]).step(calls)

    @rule(number=NUMBERS, loses=st.booleans())
    def die_or_lose_an_answer(self, number, loses):
        if loses:
            self.world.machines[number].loses_answers = 1
        else:
            self.world.replace(number)

    @invariant()
    def one_owner(self):
        self.world.look()

    def teardown(self):
        self.world.close()


def chosen(fresh, which):
    """Where examples are cheap, those that fail are made smaller."""
    phases = [Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if fresh.backend == "local" else [])]
    examples = EXAMPLES[fresh.backend][which]
    return settings(max_examples=examples, deadline=None, phases=phases, suppress_health_check=list(HealthCheck))


@pytest.mark.timeout(600)
def test_any_order_of_calls_has_one_owner_at_any_time(fresh):
    machines = type("Those", (Machines,), {"fresh": staticmethod(fresh)})
    run_state_machine_as_test(machines, settings=settings(chosen(fresh, 0), stateful_step_count=12))


@pytest.mark.timeout(600)
def test_whoever_is_stopped_where_it_hurts_and_for_how_long_there_is_one_owner(fresh):
    @given(seed=st.integers(0, 2**32 - 1))
    @chosen(fresh, 1)
    def played(seed):
        with world_of(fresh) as world:
            play(world, Random(seed))

    played()


def places(fresh):
    """Where an operation is stopped; where a call costs time, every fourth place is tried."""
    return range(0, CALLS, 1 if fresh.backend == "local" else 4)


def test_a_renewal_is_seen_that_came_while_the_taker_was_stopped(fresh):
    """The store's time is asked for before the files are listed: so an age is never too high."""
    for calls in places(fresh):
        with world_of(fresh, 2) as world:
            owner, taker = world.machines
            assert owner.do("take") is None
            world.wait(50)
            taker.begin("take")
            taker.step(calls)
            assert owner.do("renew") is None
            world.wait(55)
            taker.finish()
            assert isinstance(taker.error, ClaimedError)
            assert owner.believes


def test_a_renewal_that_is_complete_too_late_does_not_count(fresh):
    for calls in places(fresh):
        for others in places(fresh):
            with world_of(fresh, 2) as world:
                owner, taker = world.machines
                owner.do("take")
                world.wait(50)
                owner.begin("renew")
                owner.step(calls)
                done = not owner.busy
                world.wait(10 + GRACE_S + 1)
                taker.begin("take")
                taker.step(others)
                owner.finish()
                taker.finish()
                if not done:  # else nothing was late
                    world.wait(CLAIM_S)
                    assert not owner.believes


def test_who_looked_long_ago_does_not_get_a_number_that_was_used(fresh):
    for calls, third_is_first in product(places(fresh), [True, False]):
        with world_of(fresh, 4) as world:
            first, slow, second, third = world.machines
            first.do("take")
            world.wait(CLAIM_S + GRACE_S + 1)
            slow.begin("take")
            slow.step(calls)
            if second.do("take") is None:
                second.do("release")
            for machine in (third, slow) if third_is_first else (slow, third):
                machine.finish() if machine is slow else machine.do("take")
            assert [machine.believes for machine in world.machines].count(True) <= 1


@pytest.mark.parametrize("operation", ["take", "renew"])
def test_the_time_is_counted_from_before_the_file_was_begun(fresh, operation):
    for calls in places(fresh):
        with world_of(fresh, 2) as world:
            owner, taker = world.machines
            if operation == "renew":
                owner.do("take")
                world.wait(10)
            owner.begin(operation)
            owner.step(calls)
            world.wait(40)
            owner.finish()
            for _ in range(12):
                world.wait(5)
                if taker.do("take") is None:
                    break
            world.look()


def test_whole_seconds_of_the_store_do_not_make_an_age_too_high(fresh):
    with world_of(fresh, 2) as world:
        owner, taker = world.machines
        world.now_s += 0.9
        owner.do("take")
        world.wait(59.2)  # 60 whole seconds later by the store's clock
        assert isinstance(taker.do("take"), ClaimedError)
        world.wait(0.7)
        assert owner.believes
        assert isinstance(taker.do("take"), ClaimedError)
        assert "in 2 s" in str(taker.error) or "in 1 s" in str(taker.error)


def test_a_paused_owner_wakes_after_another_came_and_went_and_finds_that_it_has_lost(fresh):
    with world_of(fresh) as world:
        paused, second, third = world.machines
        paused.do("take")
        world.wait(CLAIM_S + GRACE_S + 1)
        assert second.do("take") is None
        second.do("release")
        assert third.do("take") is None
        assert isinstance(paused.do("renew"), LostClaimError)
        assert not paused.believes
        paused.do("release")
        assert third.believes
        assert [entry.path for entry in world.store.list("claim")] == ["claim/000003.held"]


def test_an_owner_whose_time_is_up_has_lost_for_good_even_if_nobody_followed(fresh):
    with world_of(fresh, 1) as world:
        (owner,) = world.machines
        owner.do("take")
        world.wait(CLAIM_S + 0.5)
        assert isinstance(owner.do("renew"), LostClaimError)
        with pytest.raises(LostClaimError, match="could not be renewed for 60 s"):
            owner.claim.check()


@pytest.mark.parametrize("operation", ["take", "renew"])
def test_a_lost_answer_is_no_loss(fresh, operation):
    with world_of(fresh, 2) as world:
        owner, other = world.machines
        if operation == "renew":
            owner.do("take")
        owner.loses_answers = 1
        first = owner.do(operation)
        assert first is None if operation == "take" else isinstance(first, UnavailableError)
        world.wait(50)
        assert owner.do("renew") is None
        world.wait(50)
        assert owner.believes
        owner.do("release")
        assert other.do("take") is None


class Failing:
    """A store one of whose calls fails, with nothing done."""

    def __init__(self, store, before):
        self.url, self._store, self._left = store.url, store, before

    def __getattr__(self, name):
        def call(*given):
            self._left -= 1
            if self._left == -1:
                raise UnavailableError("x", "not now")
            return getattr(self._store, name)(*given)

        return call


def test_a_taking_that_ends_with_an_error_leaves_no_live_claim(fresh):
    """Whatever call of the store fails, after whatever was done: the next one need not wait."""
    for calls in places(fresh):
        store = fresh()

        with suppress(StoreError):
            Claim(Failing(store, calls), "claim", CLAIM_S, ELSEWHERE).take()
            continue  # it went well all the same
        Claim(store, "claim", CLAIM_S, replace(ELSEWHERE, id="y")).take()


def test_marks_and_probes_beside_a_claim_are_skipped_and_go_in_time(fresh):
    store = fresh()
    marks = [f"000001.held.{mark}" for mark in ("mark", uuid4().hex, f"{uuid4().hex}.12345678")]
    for name in [*marks, "00000001", "00000001.12ab34cd", "now-123", "note.txt", "7.held"]:
        with store.create_exclusive(f"claim/{name}"):
            pass
    for number in range(1, 4):
        with claimed(store, "claim", CLAIM_S) as check:
            check()
            with pytest.raises(ClaimedError, match=f"process {os.getpid()} on "), claimed(store, "claim", CLAIM_S):
                pass
            assert holder(store, "claim") == str(this_process())
        assert holder(store, "claim") is None
        assert f"claim/{number:06d}.released" in {entry.path for entry in store.list("claim")}
    left = {entry.path for entry in store.list("claim")}
    assert left == {"claim/000003.released", "claim/now-123", "claim/note.txt", "claim/7.held"}


def test_of_many_who_find_a_claim_expired_one_takes_it(fresh):
    store = fresh()
    body = {"owner": {"id": "first", "text": "process 1 on elsewhere"}, "claim_s": 1e-9}  # which has passed
    with store.create_exclusive("claim/000001.held") as stream:
        stream.write(json.dumps(body).encode())
    claims = [Claim(store, "claim", CLAIM_S, replace(ELSEWHERE, id=f"o{number}")) for number in range(6)]
    took, start = [], threading.Barrier(len(claims))

    def take(claim):
        start.wait()
        with suppress(ClaimedError):
            claim.take()
            took.append(claim)

    threads = [threading.Thread(target=take, args=(claim,)) for claim in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) <= 1  # of several that are equally fast, none may be
    for claim in took:
        claim.renew()


def test_a_claim_whose_beginning_is_not_whole_expires_by_its_time(tmp_path):
    path = tmp_path / "claim" / "000001.held"
    path.parent.mkdir()
    path.write_text("")
    with pytest.raises(ClaimedError, match="another process"):
        Claim(LocalStore(tmp_path), "claim", CLAIM_S).take()
    os.utime(path, (path.stat().st_mtime - CLAIM_S - GRACE_S - 1,) * 2)
    Claim(LocalStore(tmp_path), "claim", CLAIM_S).take()


def test_the_owners_own_time_counts_not_the_takers(tmp_path):
    store = LocalStore(tmp_path)
    Claim(store, "claim", 600.0, ELSEWHERE).take()
    path = tmp_path / "claim" / "000001.held"
    os.utime(path, (path.stat().st_mtime - 100,) * 2)
    with pytest.raises(ClaimedError, match=r"process 1 on elsewhere.* in (49|50)\d s"):
        Claim(store, "claim", CLAIM_S).take()


def test_a_dead_process_of_this_machine_is_seen_at_once_and_a_living_one_is_not(tmp_path):
    code = (
        "import sys, pathlib; from pipeline.store.local import LocalStore; from pipeline.store.claim import Claim\n"
        "Claim(LocalStore(pathlib.Path(sys.argv[1])), 'claim', 60.0).take(); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    mine = Claim(LocalStore(tmp_path), "claim", CLAIM_S)
    with pytest.raises(ClaimedError, match=f"process {process.pid} on "):
        mine.take()
    process.kill()
    process.communicate()
    assert holder(LocalStore(tmp_path), "claim") is None
    mine.take()
    me = this_process()
    body = json.loads((tmp_path / "claim" / "000002.held").read_text())["owner"]
    assert not is_dead(body)
    assert is_dead({**body, "born": me.born - 1})  # its number was given to another process
    assert not is_dead({**body, "born": me.born - 1, "space": "another machine"})
    mine.release()
    assert os.listdir(tmp_path / "claim") == ["000002.released"]


def test_an_end_that_the_store_refused_does_not_keep_this_process_out(tmp_path):
    class Refusing(LocalStore):
        def create_exclusive(self, path):
            if path.endswith(".released"):
                raise UnavailableError(path, "not now")
            return super().create_exclusive(path)

    for _ in range(2):
        with claimed(Refusing(tmp_path), "claim", CLAIM_S) as check:
            check()
    assert holder(LocalStore(tmp_path), "claim") is None


def test_a_held_claim_is_renewed_and_given_back(tmp_path):
    store, claim = LocalStore(tmp_path), Claim(LocalStore(tmp_path), "claim", 30.0)
    renewed, renew, count = threading.Event(), claim.renew, []

    def noted():
        renew()
        count.append(1)
        if len(count) > 5:
            renewed.set()

    claim.renew = noted
    with held(claim, 0.01) as mine:
        assert renewed.wait(30)
        mine.check()
        assert len([entry for entry in store.list("claim") if ".held." in entry.path]) <= 3  # old renewals go
    assert [entry.path for entry in store.list("claim")] == ["claim/000001.released"]
    assert "textmill-claim" not in {thread.name for thread in threading.enumerate()}


def test_a_renewal_that_fails_is_tried_again_while_there_is_time(tmp_path):
    class Shaky(LocalStore):
        refused = 0

        def create_exclusive(self, path):
            if ".held." in path and self.refused < 3:
                self.refused += 1
                raise UnavailableError(path, "not now")
            return super().create_exclusive(path)

    claim = Claim(Shaky(tmp_path), "claim", 30.0)
    renewed, renew = threading.Event(), claim.renew

    def noted():
        renew()
        renewed.set()

    claim.renew = noted
    with held(claim, 0.01) as mine:
        assert renewed.wait(30)
        mine.check()
    assert claim._store.refused == 3


def test_who_was_followed_is_told_and_removes_nothing(tmp_path):
    store = LocalStore(tmp_path)
    with held(Claim(store, "claim", 30.0, ELSEWHERE), 0.01) as claim:
        other = {"owner": {"text": "process 7 on elsewhere"}, "claim_s": 60.0}
        (tmp_path / "claim" / "000002.held").write_text(json.dumps(other))
        while not claim._lost:
            claim._store.list("claim")
        with pytest.raises(LostClaimError, match="taken over by process 7 on elsewhere"):
            claim.check()
    assert not (tmp_path / "claim" / "000001.released").exists()
    assert (tmp_path / "claim" / "000002.held").exists()


def test_the_clock_goes_on_while_a_machine_sleeps():
    import time

    from pipeline.store import claim

    assert abs(claim.boottime() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5


@pytest.mark.parametrize("is_held", [False, True])
def test_the_lock_of_an_older_version_does_not_brick_an_output(tmp_path, is_held):
    code = (
        "import fcntl, os, sys; held = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT); fcntl.flock(held, fcntl.LOCK_EX)\n"
        "os.write(held, b'process 7 on old'); print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "_claim"
    process = subprocess.Popen([sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    if not is_held:
        process.communicate("")
    store = LocalStore(tmp_path)
    try:
        if is_held:
            with pytest.raises(ClaimedError, match="process 7 on old, an older version"), store.claim("_claim"):
                pass
            assert path.is_file()
        else:
            with store.claim("_claim") as check:
                check()
            assert path.is_dir()
    finally:
        process.communicate("")


def test_a_folder_in_which_a_file_vanishes_is_listed_again(tmp_path, monkeypatch):
    """Else a listing may show neither a claim's old number nor the new one, though one of the two was always there."""
    store = LocalStore(tmp_path)
    with store.create_exclusive("claim/000007.held"):
        pass
    scan, scans = os.scandir, []

    @contextmanager
    def late(folder):
        with scan(folder) as entries:
            found = list(entries)
        scans.append(folder)
        if len(scans) == 1:
            with store.create_exclusive("claim/000008.held"):
                pass
            os.unlink(tmp_path / "claim" / "000007.held")
        yield iter(found)

    monkeypatch.setattr(os, "scandir", late)
    assert [entry.path for entry in store.list("claim")] == ["claim/000008.held"]
