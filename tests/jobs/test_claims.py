"""A claim: one holder at a time, a stale one taken over once, clocks that differ, whatever happens between two calls."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipeline.errors import ClaimedError, LostClaimError
from pipeline.store.local import LocalStore
from pipeline.trigger.claim import Claim, Held
from pipeline.trigger.owner import Owner, is_dead, this_process

CLAIM_S, SKEW_S = 120.0, 1200.0
# Somebody on another machine, of whom nothing can be seen.
ELSEWHERE = Owner("x", "elsewhere", 1, "another boot", 1)


def claim(store, clock, owner=ELSEWHERE):
    return Claim(store, "claim", CLAIM_S, SKEW_S, clock, owner)


class Clocks(RuleBasedStateMachine):
    """Three machines whose clocks are wrong by up to ten minutes, each way; they die, wake up, and forget to renew."""

    def __init__(self):
        super().__init__()
        self.store = LocalStore(Path(tempfile.mkdtemp()))
        self.now_s = 1e9
        self.skews_s = (0.0, 600.0, -600.0)
        self.claims = [self.fresh(i) for i in range(3)]
        self.holders = set()
        self.tenures = []

    def fresh(self, machine):
        return claim(self.store, lambda: self.now_s + self.skews_s[machine])

    @rule(machine=st.integers(0, 2))
    def take(self, machine):
        if machine in self.holders:
            return
        try:
            self.claims[machine].take()
        except ClaimedError:
            return
        self.holders.add(machine)
        self.tenures.append(self.claims[machine]._number)

    @rule(machine=st.integers(0, 2))
    def renew(self, machine):
        if machine in self.holders:
            try:
                self.claims[machine].renew()
            except LostClaimError:
                self.holders.discard(machine)

    @rule(machine=st.integers(0, 2))
    def release(self, machine):
        if machine in self.holders:
            self.claims[machine].release()
            self.holders.discard(machine)

    @rule(machine=st.integers(0, 2))
    def die(self, machine):
        self.claims[machine] = self.fresh(machine)
        self.holders.discard(machine)

    @rule(seconds=st.sampled_from([1.0, 60.0, 119.0, 121.0, 700.0, 1300.0, 2600.0]))
    def wait(self, seconds):
        self.now_s += seconds

    @invariant()
    def one_holder(self):
        working = []
        for machine in self.holders:
            try:
                self.claims[machine].check()
            except LostClaimError:
                continue
            working.append(machine)
        assert len(working) <= 1
        assert self.tenures == sorted(set(self.tenures))  # no number is given twice


TestClocks = Clocks.TestCase
TestClocks.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_stale_claim_is_taken_over_once(tmp_path):
    store, now = LocalStore(tmp_path), [1e9]
    claim(store, lambda: now[0]).take()
    others = [claim(store, lambda: now[0]) for _ in range(8)]
    now[0] += CLAIM_S + SKEW_S - 1
    with pytest.raises(ClaimedError, match=r"process 1 on elsewhere.*taken over in 1 s"):
        others[0].take()
    now[0] += 2
    took, start = [], threading.Barrier(8)

    def take(one):
        start.wait()
        try:
            one.take()
            took.append(one)
        except ClaimedError:
            pass

    threads = [threading.Thread(target=take, args=(one,)) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(took) == 1
    took[0].renew()


class Between(LocalStore):
    """Something happens before the next file is created."""

    def __init__(self, root):
        super().__init__(root)
        self.then = None

    def create_exclusive(self, path):
        then, self.then = self.then, None
        if then:
            then()
        return super().create_exclusive(path)


def test_who_has_looked_long_ago_cannot_take_a_number_that_was_used(tmp_path):
    store, now = Between(tmp_path), [1e9]
    first, slow, second, third = (claim(store, lambda: now[0]) for _ in range(4))
    first.take()
    now[0] += CLAIM_S + SKEW_S + 1

    def meanwhile():  # others take over, give back, take again
        second.take()
        second.release()
        third.take()

    store.then = meanwhile
    with pytest.raises(ClaimedError, match="faster"):
        slow.take()
    third.renew()
    with pytest.raises(LostClaimError):
        first.renew()


def test_a_renewal_that_comes_too_late_is_refused(tmp_path):
    store, now = Between(tmp_path), [1e9]
    slow, other = claim(store, lambda: now[0]), claim(store, lambda: now[0])
    slow.take()

    def meanwhile():
        now[0] += CLAIM_S + SKEW_S + 1
        other.take()

    store.then = meanwhile  # the renewal was begun in time, and then the machine slept
    with pytest.raises(LostClaimError):
        slow.renew()
    other.renew()


def test_a_claim_whose_file_was_not_written_to_its_end_expires_by_the_files_time(tmp_path):
    path = tmp_path / "claim" / "000001.held"
    path.parent.mkdir()
    path.write_text("")
    now = [path.stat().st_mtime]
    with pytest.raises(ClaimedError):
        claim(LocalStore(tmp_path), lambda: now[0]).take()
    now[0] += CLAIM_S + SKEW_S + 1
    claim(LocalStore(tmp_path), lambda: now[0]).take()


def test_a_dead_process_of_this_machine_is_seen_at_once_and_a_living_one_is_not(tmp_path):
    code = (
        "import sys, pathlib; from pipeline.store.local import LocalStore; from pipeline.trigger.claim import Claim\n"
        "Claim(LocalStore(pathlib.Path(sys.argv[1])), 'claim').take(); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    mine = Claim(LocalStore(tmp_path), "claim")
    with pytest.raises(ClaimedError, match=f"process {process.pid} on "):
        mine.take()
    process.kill()
    process.communicate()
    mine.take()
    me = this_process()
    body = json.loads((tmp_path / "claim" / "000002.held").read_text())["owner"]
    assert not is_dead(body)
    assert is_dead({**body, "born": me.born - 1})  # its number was given to another process
    assert not is_dead({**body, "born": me.born - 1, "space": "another machine"})
    mine.release()
    assert os.listdir(tmp_path / "claim") == ["000002.released"]


def test_a_held_claim_is_renewed_and_given_back(tmp_path):
    store = LocalStore(tmp_path)
    one = Claim(store, "claim", 30.0)
    renewed = threading.Event()
    renew, count = one.renew, []

    def noted():
        renew()
        count.append(1)
        if len(count) > 5:
            renewed.set()

    one.renew = noted
    with Held(one, 0.01) as held:
        assert renewed.wait(30)
        held.check()
        assert len(list(store.list("claim"))) <= 4  # old renewals go
    assert [entry.path for entry in store.list("claim")] == ["claim/000001.released"]
    assert "claim" not in {thread.name for thread in threading.enumerate()}


def test_who_was_followed_is_told(tmp_path):
    store = LocalStore(tmp_path)
    with Held(Claim(store, "claim", 30.0, owner=ELSEWHERE), 0.01) as held:
        (tmp_path / "claim" / "000002.held").write_text("{}")
        held._thread.join(30)
        with pytest.raises(LostClaimError):
            held.check()
    assert not (tmp_path / "claim" / "000001.released").exists()
