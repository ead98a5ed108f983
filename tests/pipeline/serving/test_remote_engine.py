"""Whatever servers do, every batch has its scores exactly once, or the error that is the batch's own. Ray is played in memory."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.runtime.batches import RaggedBatch
from models.runtime.engines import Logits
from pipeline.errors import UnavailableError
from pipeline.serving.engine_calls import CallRefusedError, LostServerError
from pipeline.serving.engine_server import Reply
from pipeline.serving.remote_engine import RemoteEngine

LATE_S, WAIT_S = 3.0, 400.0
# What a server does with one call: seconds and outcome. "wrong" is an answer to something else, "mute" none at all.
DEEDS = st.tuples(
    st.sampled_from([0.0, 0.1, 1.0, 2.9, 3.2, 30.0]),
    st.sampled_from(["well", "well", "well", "refused", "lost", "mute", "wrong", "unsent"]),
)
POISON = 666


class PoisonError(Exception):
    """The batch's own fault."""


def batch_of(number, tokens, poison=False):
    ids = np.full(tokens, POISON if poison else number, np.int32)
    return RaggedBatch(ids, np.zeros(tokens, np.uint8), np.array([0, tokens]), np.zeros(1, np.int64))


def scores_of(batch):
    """What any engine gives for a batch: its ids, so that scores of another batch are seen."""
    if (batch.ids == POISON).any():
        raise PoisonError
    return batch.ids[:, None].astype(np.float32), np.full((1, 3), batch.ids[0], np.float32)


@dataclass
class Fleet:
    """Servers by their numbers, each with what it does call by call; after that it does well. `wait` moves the clock."""

    deeds: list
    time: float = 0.0
    ends: dict = field(default_factory=dict)
    answers: dict = field(default_factory=dict)
    taken: set = field(default_factory=set)
    calls: int = 0

    def now(self):
        return self.time

    def _begin(self, handle, what):
        seconds, outcome = self.deeds[handle].pop(0) if self.deeds[handle] else (0.1, "well")
        if outcome == "unsent":
            raise LostServerError("unsent")
        self.calls += 1
        self.ends[self.calls] = float("inf") if outcome == "mute" else self.time + seconds
        self.answers[self.calls] = outcome, what
        return self.calls

    def send(self, handle, lang, batch):
        assert lang == "en"
        return self._begin(handle, batch)

    def ask(self, handle):
        return self._begin(handle, None)

    def wait(self, calls, seconds):
        assert not self.taken & set(calls), "waits for an answer that it has"
        first = min((self.ends[call] for call in calls), default=float("inf"))
        self.time = max(self.time, min(first, self.time + seconds) if seconds else self.time) + 1e-3
        return [call for call in calls if self.ends[call] <= self.time]

    def get(self, call):
        assert self.ends[call] <= self.time
        assert call not in self.taken
        self.taken.add(call)
        outcome, batch = self.answers[call]
        if outcome == "lost":
            raise LostServerError("lost")
        if outcome == "refused":
            raise CallRefusedError("refused") from ValueError("refused")
        if batch is None:
            return "node"
        if outcome == "wrong":
            return Reply(np.zeros((0, 1), np.float16), np.zeros((1, 3), np.float32), 0, 1000.0)
        try:
            tokens, sentiment = scores_of(batch)
        except PoisonError as error:
            raise CallRefusedError("poison") from error
        return Reply(tokens.astype(np.float16), sentiment, 0, 1000.0)


class Local:
    name = arithmetic = "local"

    def __init__(self, fleet):
        self.fleet = fleet

    def infer(self, batches):
        for batch in batches:
            found = scores_of(batch)
            self.fleet.time += 0.5
            yield Logits(batch, *found)


def check(found, batches):
    assert sorted(id(scores.batch) for scores in found) == sorted(map(id, batches))
    for scores in found:
        tokens, sentiment = scores_of(scores.batch)
        np.testing.assert_array_equal(scores.tokens, tokens)
        np.testing.assert_array_equal(scores.sentiment, sentiment)


SCHEDULES = st.lists(st.lists(DEEDS, max_size=25), max_size=4)


@settings(max_examples=400, deadline=None)
@given(SCHEDULES, st.lists(st.integers(1, 3000), max_size=30), st.booleans(), st.none() | st.integers(0, 29), st.integers(0, 31))
def test_every_batch_is_scored_once_whatever_servers_do(deeds, sizes, here, poison, stop_after):
    fleet = Fleet([list(one) for one in deeds])
    engine = RemoteEngine(range(len(deeds)), "en", Local(fleet) if here else None, LATE_S, WAIT_S, fleet)
    batches = [batch_of(1 + i, size, i == poison) for i, size in enumerate(sizes)]
    poisoned = any(POISON in batch.ids for batch in batches)
    found = []
    try:
        for scores in engine.infer(batches):
            found.append(scores)
            if len(found) > stop_after:
                break
        else:
            check(found, batches)
            assert not poisoned
    except PoisonError:
        assert poisoned
    except ValueError:
        assert not here  # then the word of the only servers that are there counts
    except UnavailableError:
        assert not here
    assert len({id(scores.batch) for scores in found}) == len(found)
    # The next call of the same engine owes nothing to this one.
    assert all(server.mine == server.batches == 0 for server in engine._servers)
    again = [batch_of(1 + i, 10) for i in range(3)]
    if here:
        check(list(engine.infer(again)), again)
    assert fleet.time < 30 * (WAIT_S + 100)


def test_servers_that_do_well_compute_all_without_a_local_engine():
    fleet = Fleet([[], [(0.1, "lost"), (0.1, "lost")], [(0.1, "well"), (0.1, "mute")]])
    engine = RemoteEngine(range(3), "en", None, LATE_S, WAIT_S, fleet)
    batches = [batch_of(1 + i, 100) for i in range(40)]
    check(list(engine.infer(batches)), batches)
    assert engine.own_tokens == 0


def test_a_server_that_fails_is_set_aside_longer_each_time_and_comes_back():
    fails = [(0.1, "well"), (0.1, "refused")] * 3
    fleet = Fleet([fails])
    engine = RemoteEngine([0], "en", Local(fleet), LATE_S, WAIT_S, fleet)
    away = []
    while len(away) < 3 or not engine._servers[0].proven:
        before = engine._servers[0].back_at
        check(list(engine.infer(some := [batch_of(1, 5)])), some)
        if engine._servers[0].back_at != before:
            away.append(round(engine._servers[0].back_at - fleet.time))
        fleet.time += 1.0
        assert fleet.time < 1000
    assert away == [5, 10, 20]
    assert engine._servers[0].away_s == 5.0


def test_a_mute_server_costs_one_deadline_and_its_late_answers_are_dropped():
    fleet = Fleet([[(0.1, "well"), *[(0.2, "well")] * 2, *[(30.0, "well")] * 8]])
    engine = RemoteEngine([0], "en", Local(fleet), LATE_S, WAIT_S, fleet)
    engine._here = 1.0  # so slow that it would rather wait
    batches = [batch_of(1 + i, 100) for i in range(6)]
    check(list(engine.infer(batches)), batches)
    assert not engine._servers[0].ready
    fleet.time += 100.0
    check(list(engine.infer(batches)), batches)


def test_without_local_engine_and_servers_it_gives_up_in_time():
    fleet = Fleet([[(0.1, "lost")] * 1000, [(0.0, "mute")]])
    with pytest.raises(UnavailableError, match="no engine server has answered for 400 s"):
        list(RemoteEngine(range(2), "en", None, LATE_S, WAIT_S, fleet).infer([batch_of(1, 5)]))
    assert WAIT_S < fleet.time < WAIT_S + 10


def test_the_local_engines_error_is_the_batches():
    fleet = Fleet([[]])
    engine = RemoteEngine([0], "en", Local(fleet), LATE_S, WAIT_S, fleet)
    with pytest.raises(PoisonError):
        list(engine.infer([batch_of(1, 5), batch_of(2, 5, poison=True)]))
    # Nobody takes it amiss that a server said so too.
    check(list(engine.infer(some := [batch_of(3, 5)] * 1)), some)
    assert engine._servers[0].ready
