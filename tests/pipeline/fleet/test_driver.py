"""The whole loop of `drive`, on a pool in memory: in simulated time, with events that come late, together and reordered."""

import os
import random
from collections import Counter
from dataclasses import replace

import pytest

from pipeline.errors import ConfigError, NoWorkersError, UnavailableError, WorkerLostError
from pipeline.fleet.driver import LeaseResult, WorkerLost, WorkerReady, drive
from pipeline.fleet.simulated_pool import SimulatedPool, part_result, split

SCHEDULES = int(os.environ.get("DRIVE_SCHEDULES", "1000"))
# One seed alone, to replay it.
SEED = os.environ.get("DRIVE_SEED")


def driven(seed):
    """Drive splits through the pool of a seed; gives the pool, and checks that each ended once."""
    pool, draw = SimulatedPool(seed), random.Random(-seed - 1)
    first = [split(number, draw.choice([50, 500, 5000])) for number in range(draw.randint(1, 30))]
    later = [[split(number, 500) for number in range(at, at + 5)] for at in (100, 200)]
    pool.died_over.add(0)  # an earlier run did
    pool.poisonous = {number for number in range(len(first)) if draw.random() < 0.1}
    arrived, told = list(first), Counter()

    def more():
        if later and draw.random() < 0.05:
            arrived.extend(later[-1])
            return later.pop()
        return []

    given_up = drive(first, pool, lambda part: told.update([part.name]), {"part-000001-00000"}, more=more, clock=lambda: pool.now)
    names = {one.name for one in arrived}
    assert told.keys() | given_up.keys() == names
    assert not told.keys() & given_up.keys()
    return pool, told, given_up


def test_every_split_ends_once_whatever_is_heard_and_when():
    """Promise: each is finished, or given up with an error, and never both; the loop ends, and never with an exception."""
    counts = Counter()
    for seed in range(SCHEDULES) if SEED is None else [int(SEED)]:
        try:
            pool, told, given_up = driven(seed)
        except BaseException as error:
            error.add_note(f"to replay: DRIVE_SEED={seed} pytest tests/pipeline/fleet/test_driver.py -k every_split_ends_once")
            raise
        counts += pool.counts + Counter(finished=len(told), given_up=len(given_up), twice=sum(told.values()) - len(told))
    print(dict(counts))
    if SEED is None and SCHEDULES >= 100:  # a pool in which nothing happens shows nothing
        assert (
            min(
                counts[kind]
                for kind in (
                    "WorkerReady",
                    "LeaseResult",
                    "WorkerDraining",
                    "WorkerLost",
                    "dismissed",
                    "hired",
                    "given_up",
                    "twice",
                )
            )
            > 0
        )


class Script:
    """A pool of one worker at a time, which does what is written down."""

    size, ahead_s, up_at = 1, 2.0, None

    def __init__(self, then):
        self.then, self.begun, self.started = then, [], []

    def start(self, worker):
        self.started.append(worker)

    def begin(self, lease, what):
        self.begun.append((lease, what))

    def call_back(self, lease, worker):
        pass

    def dismiss(self, worker):
        pass

    def room(self):
        return 0

    def wait(self, seconds):
        return self.then(self)


def test_a_worker_that_answers_and_dies_in_one_breath():
    """Between the two it is given more, which it never begins: nobody is to blame for that."""

    def then(pool):
        if len(pool.started) == 2 and pool.started[-1] not in {lease.worker for lease, _ in pool.begun}:
            return [WorkerReady(1, 1000.0)]
        if not pool.begun:
            return [WorkerReady(0, 1000.0)]
        begun, pool.begun = pool.begun, []
        if begun[0][0].worker == 1:
            assert not any(lease.isolated for lease, _ in begun)
            return [LeaseResult(lease, 0.5, part_result(what)) for lease, what in begun]
        answers = [LeaseResult(lease, 0.5, part_result(what)) for lease, what in begun]
        return [*answers, WorkerLost(0, WorkerLostError("died")), answers[0], WorkerReady(0)]

    told = []
    assert drive([split(number) for number in range(12)], Script(then), told.append) == {}
    assert len({part.name for part in told}) == 12


def test_a_split_over_which_workers_die_is_given_up_in_our_words():
    def then(pool):
        begun, pool.begun = pool.begun, []
        if not begun:
            return [WorkerReady(pool.started[-1], 1000.0)]
        worker = begun[0][0].worker
        return [WorkerLost(worker, WorkerLostError(f"worker {worker} died over {begun[0][1].name}"), over=begun[0][0])]

    given_up = drive([split(0)], Script(then), lambda part: None)
    assert str(given_up["part-000001-00000"]) == "worker 2 died over part-000001-00000; run the command again"
    assert given_up["part-000001-00000"].exit_code == 3


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ConfigError("worker 0 on a cannot start: no model"), ConfigError),
        (WorkerLostError("worker 0 on a cannot start: killed"), NoWorkersError),
    ],
)
def test_workers_that_cannot_start_end_the_run_with_the_reason(error, raised):
    with pytest.raises(raised, match="worker 0 on a cannot start"):
        drive([split(0)], Script(lambda pool: [WorkerLost(pool.started[-1], error)]), lambda part: None)


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error"), UnavailableError("a", "away")])
def test_what_may_pass_is_tried_again(error):
    tried = []

    def then(pool):
        if not pool.begun:
            return [WorkerReady(0, 1000.0)]
        (lease, what), *pool.begun = pool.begun
        tried.append(lease)
        return [LeaseResult(lease, 0.1, part_result(what) if len(tried) > 1 else None, error if len(tried) == 1 else None)]

    assert drive([split(0)], Script(then), lambda part: None) == {}
    assert len(tried) == 2


def test_what_does_not_pass_ends_the_run():
    def then(pool):
        return [LeaseResult(pool.begun[0][0], 0.1, error=OSError(13, "denied"))] if pool.begun else [WorkerReady(0, 1000.0)]

    with pytest.raises(OSError, match="denied"):
        drive([split(0)], Script(then), lambda part: None)


def test_a_node_that_dies_does_not_hide_why_workers_cannot_start():
    def then(pool):
        worker = pool.started[-1]
        blame = worker % 2 == 0
        return [WorkerLost(worker, ConfigError("no model") if blame else WorkerLostError("its node died"), blame)]

    with pytest.raises(ConfigError, match="no model"):
        drive([split(0)], Script(then), lambda part: None)


@pytest.mark.parametrize(
    ("path", "packed"), [("a.jsonl.gz", True), ("A.CSV.ZST", True), ("a.jsonl", False), ("gz/a.parquet", False)]
)
def test_who_looks_is_told_that_a_packed_file_keeps_workers_idle(path, packed):
    """A packed file is one split: all but one of the workers have nothing to do."""
    idle = []
    for seed in range(20):
        pool, one = SimulatedPool(seed), split(0, 50_000)
        one = replace(one, fragments=tuple(replace(piece, path=path) for piece in one.fragments))
        views = []
        drive([one], pool, lambda part: None, seen=views.append, clock=lambda pool=pool: pool.now)
        idle += [view for view in views if view["idle"] and view["parts_begun"] and not view["waiting"]]
    assert idle
    assert {view["packed"] for view in idle} == {packed}
