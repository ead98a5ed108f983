"""The policy: what it decides in small cases, and that nothing is lost or done twice whatever happens."""

import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.scheduler.events import (
    Arrived,
    Draining,
    EndRun,
    Failed,
    Finished,
    GiveUp,
    Kill,
    Lease,
    Replace,
    Revoke,
    Stopped,
    Tick,
    WorkerJoined,
    WorkerVanished,
)
from pipeline.scheduler.pending_queue import WAIT_S
from pipeline.scheduler.policy import Policy
from pipeline.scheduler.speeds import ActiveLease, Worker
from pipeline.scheduler.split_table import MAX_LOSSES
from pipeline.scheduler.worker_registry import MAX_REPLACED, START_BUDGET
from tests.support.simulation import Faults, Simulation


def started(splits, speeds, now=0.0):
    """A policy with workers of known speed, and what it ordered when they had all joined."""
    policy = Policy()
    policy.on(Arrived(now, tuple(enumerate(splits))))
    for number, speed in enumerate(speeds):
        policy.on(WorkerJoined(now, number, speed))
    return policy, policy.on(Tick(now))


def test_the_largest_goes_to_the_fastest_and_slow_workers_get_what_they_can_finish():
    policy, orders = started([900, 50, 400, 10], [10.0, 1.0])
    # The slow one's speed is hearsay, until it has ended something.
    assert {order.worker: order.split for order in orders} == {0: 0, 1: 3}
    slow = next(order for order in orders if order.worker == 1)
    assert [order.split for order in policy.on(Finished(10.0, slow.number, 10.0))] == [1]


def test_what_would_hold_up_the_whole_is_copied_before_everything_else_is_done():
    policy, orders = started([100] * 40, [10.0, 10.0])
    mine = deque(order for order in orders if order.worker == 0)
    for now in range(10, 390, 10):  # worker 1 never ends its first
        given = policy.on(Tick(now - 1)) + policy.on(Finished(now, mine.popleft().number, 10.0))
        mine += [order for order in given if isinstance(order, Lease) and order.worker == 0]
        if any(order.copy for order in mine):
            break
    assert policy.splits.waiting.count > 1


def test_what_is_only_said_of_a_workers_speed_gives_it_no_long_lease():
    sizes = [*range(10, 1000, 10)]
    _, orders = started(sizes, [10.0, 2.0])
    end = sum(sizes) / 12
    assert 0 < max(sizes[order.split] for order in orders if order.worker == 1) <= 0.1 * 2.0 * end


def test_a_worker_has_some_seconds_of_work_ahead():
    policy, orders = started([10] * 100, [10.0])
    # One is done in a second; two seconds ahead and the one that begins.
    assert [order.split for order in orders] == [0, 1, 2]
    assert policy.on(Finished(1.1, 0, 1.0)) == []
    assert policy.wake <= 1.3
    assert [order.split for order in policy.on(Tick(1.3))] == [3]


def test_a_worker_of_unknown_speed_begins_with_the_smallest():
    policy = Policy()
    policy.on(Arrived(0.0, ((0, 500), (1, 20), (2, 300))))
    policy.on(WorkerJoined(0.0, 0))
    assert policy.on(Tick(0.0)) == [Lease(0, 0, 1)]
    assert policy.on(Finished(2.0, 0, 2.0))[0].split == 0


def test_urgent_splits_overtake_and_waiting_counts():
    policy, orders = started([1000, 1000, 1000], [10.0])
    assert [order.split for order in orders] == [0]
    policy.on(Arrived(5.0, ((3, 10),), priority=1.0))
    assert policy.on(Finished(100.0, 0, 100.0))[0].split == 3
    # What has waited longer than a step of priority is worth goes first.
    policy, _ = started([1000, 700], [10.0])
    policy.on(Arrived(WAIT_S + 20, ((2, 10),), priority=1.0))
    assert policy.on(Finished(WAIT_S + 21, 0, 100.0))[0].split == 1


def test_what_is_late_takes_half_as_long_again_whenever_it_is_asked():
    """Not only at the moment at which it was seen to be late: a split of ten minutes was copied when all else was done."""
    worker = Worker(0)
    worker.expect(100.0)
    lease = ActiveLease(0, worker, 0, 1000, 0.0, False, False)
    worker.held.append(lease)
    assert worker.finish_of(lease, 5.0) == 10.0
    assert worker.late(20.0)
    for now in (20.0, 25.0, 29.0, 40.0):
        assert worker.finish_of(lease, now) == pytest.approx(1.5 * now)


def test_an_idle_worker_copies_what_is_late_and_the_first_to_end_wins():
    policy, orders = started([100, 100], [10.0, 10.0])
    assert {order.worker for order in orders} == {0, 1}
    policy.on(Finished(10.0, 0, 10.0))
    assert not [c for now in (10.5, 11.0, 12.0) for c in policy.on(Tick(now))]  # it may yet end soon
    copies = [c for now in (13.0, 20.0, 24.0, 26.0, 27.0) for c in policy.on(Tick(now)) if isinstance(c, Lease)]
    assert [(copy.worker, copy.split, copy.copy) for copy in copies] == [(0, 1, True)]
    assert policy.on(Finished(40.0, copies[0].number, 10.0)) == [Revoke(1, 1)]
    assert policy.over
    assert policy.on(Finished(41.0, 1, 41.0)) == []
    assert (policy.splits.finished, policy.copies) == (2, 1)


def test_careful_after_a_death_and_given_up_before_the_workers_are():
    assert MAX_LOSSES < MAX_REPLACED
    policy = Policy([0])
    policy.on(Arrived(0.0, ((0, 10),)))
    policy.on(WorkerJoined(0.0, 0, 10.0))
    (lease,) = policy.on(Tick(0.0))
    for number in range(MAX_LOSSES):
        assert lease == Lease(number, number, 0, isolated=number > 0)
        assert policy.on(WorkerVanished(float(number), number, over=lease.number)) == [Replace(number, number + 1)]
        policy.on(WorkerJoined(float(number), number + 1, 10.0))
        (lease,) = policy.on(Tick(float(number)))
    assert policy.on(WorkerVanished(9.0, MAX_LOSSES, over=lease.number))[0] == GiveUp(0)
    assert policy.over


def test_a_lost_node_blames_nobody():
    policy, (lease,) = started([10], [10.0])
    for number in range(3 * MAX_REPLACED):
        (again,) = policy.on(WorkerVanished(0.0, lease.worker, blame=False))
        assert again == Replace(number, number + 1)
        policy.on(WorkerJoined(0.0, again.by, 10.0))
        (lease,) = policy.on(Tick(0.0))
        assert not lease.isolated
    policy.on(Finished(1.0, lease.number, 1.0))
    assert policy.over


def test_a_worker_that_is_taken_away_before_it_is_up_is_replaced_whoever_could_not_start_before():
    policy = Policy([0, 1])
    policy.on(Arrived(0.0, ((0, 10),)))
    worker = 1
    for _ in range(START_BUDGET + 3):
        for command in policy.on(WorkerVanished(0.0, worker)):
            worker = command.by
    assert worker not in policy.registry.starting
    (replaced,) = policy.on(WorkerVanished(0.0, 0, blame=False))
    assert isinstance(replaced, Replace)


def test_only_the_lease_that_a_worker_was_at_is_blamed():
    policy, orders = started([10] * 3, [10.0])
    policy.on(Finished(1.0, orders[0].number, 1.0))
    policy.on(WorkerVanished(1.0, 0, over=orders[0].number))  # what it was at has ended: its death is nobody else's fault
    policy.on(WorkerJoined(1.0, 1, 10.0))
    assert not any(lease.isolated for lease in policy.on(Tick(1.0)))
    policy.on(WorkerVanished(2.0, 1))
    policy.on(WorkerJoined(2.0, 2, 10.0))
    assert not any(lease.isolated for lease in policy.on(Tick(2.0)))


def test_a_worker_that_is_to_leave_gives_back_what_it_has_not_begun():
    policy, orders = started([10] * 4, [10.0])
    assert [order.number for order in orders] == [0, 1, 2]
    assert policy.on(Draining(0.1, 0)) == [Revoke(1, 0), Revoke(2, 0)]
    assert policy.on(WorkerJoined(0.2, 1, 10.0)) == []
    assert {order.split for order in policy.on(Tick(0.2))} <= {1, 2, 3}
    assert policy.on(Finished(1.0, 0, 1.0)) == []  # and gets nothing more
    assert policy.on(Stopped(1.0, 1)) == []


def test_a_worker_that_hangs_is_dismissed_once():
    policy, _ = started([10], [10.0])
    assert [c for now in range(1, 300, 10) for c in policy.on(Tick(float(now)))] == []
    assert [c for now in range(311, 400, 10) for c in policy.on(Tick(float(now)))] == [Kill(0)]
    assert policy.on(WorkerVanished(400.0, 0, over=0)) == [Replace(0, 1)]
    policy.on(WorkerJoined(401.0, 1, 10.0))
    assert policy.on(Tick(401.0)) == [Lease(1, 1, 0, isolated=True)]


def test_workers_may_come_later():
    policy, _ = started([10] * 9, [10.0])
    assert policy.hire() == 1
    policy.on(WorkerJoined(0.1, 1, 10.0))
    assert {order.worker for order in policy.on(Tick(0.1))} == {1}


def test_workers_that_cannot_start_end_the_run():
    policy = Policy([0, 1])
    policy.on(Arrived(0.0, ((0, 10),)))
    orders, lost = [], [0, 1]
    while lost:
        for command in policy.on(WorkerVanished(0.0, lost.pop(0))):
            orders.append(command)
            if isinstance(command, Replace):
                lost.append(command.by)
    assert sum(isinstance(order, Replace) for order in orders) == START_BUDGET + 2
    assert isinstance(orders[-1], EndRun)


def test_what_fails_for_good_is_not_tried_again():
    policy, (lease, _) = started([10, 5], [10.0])
    assert policy.on(Failed(0.5, lease.number, again=False))[0] == GiveUp(lease.split)


@given(
    st.integers(1, 12),
    st.integers(0, 60),
    st.integers(0, 2**32),
    st.booleans(),
    st.sampled_from([0.0, 0.02, 0.3]),
)
@settings(deadline=None, max_examples=150)
def test_every_split_ends_once_whatever_happens(workers, splits, seed, known, rate):
    rng = random.Random(seed)
    sizes = [int(rng.lognormvariate(5, 2)) for _ in range(splits)]
    poison = frozenset(rng.sample(range(splits), min(splits, rng.randint(0, 2))))
    faults = Faults(deaths=rate / 9, taken=rate, slow=rate, fail=rate, no_start=rate / 3, start_s=rng.random(), poison=poison)
    simulation = Simulation([rng.uniform(1, 100) for _ in range(workers)], faults, seed, known, places=seed % 4)
    cut = rng.randint(0, splits)
    everything = list(enumerate(sizes))
    simulation.at(0.0, "arrive", (everything[:cut], 0.0))
    simulation.at(rng.uniform(0, 50), "arrive", (everything[cut:], 1.0))
    report = simulation.run()
    policy = simulation.policy
    assert len(report.order) == len(set(report.order)) == policy.splits.finished
    if not report.ended:
        assert set(report.order) | policy.splits.given_up == set(range(splits))
        assert not set(report.order) & policy.splits.given_up


@pytest.mark.parametrize("places", [2, 7])
def test_splits_go_where_their_data_lies_and_the_whole_ends_no_later(places):
    rng = random.Random(places)
    speeds, sizes = [rng.uniform(900, 1100) for _ in range(42)], [int(rng.lognormvariate(9, 0.2)) for _ in range(4000)]
    simulation = Simulation(speeds, Faults(), places, known=True, places=places)
    simulation.at(0.0, "arrive", (list(enumerate(sizes)), 0.0))
    report = simulation.run()
    assert report.makespan <= 1.03 * sum(sizes) / sum(speeds)
    assert simulation.policy.view()["near"] >= 0.97 * 3600  # by chance it would be 1 / places


def test_a_place_without_workers_has_its_splits_done_elsewhere():
    policy = Policy()
    policy.on(Arrived(0.0, ((0, 100), (1, 100), (2, 100), (3, 90)), homes={0: 5, 1: 5, 2: 6, 3: 7}))
    policy.on(WorkerJoined(0.0, 0, 100.0, home=7))
    policy.on(WorkerJoined(0.0, 1, 100.0))
    done, orders = [], policy.on(Tick(0.0))
    # Its own, though it is smaller; and then where most is left.
    assert next(order.split for order in orders if order.worker == 0) == 3
    while orders:
        order = orders.pop(0)
        if isinstance(order, Lease):
            done.append(order.split)
            orders += policy.on(Finished(float(len(done)), order.number, 1.0))
    assert sorted(done) == [0, 1, 2, 3]
    assert policy.view()["near"] == 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("known", [True, False])
def test_workers_of_all_speeds_end_together(seed, known):
    rng = random.Random(seed)
    speeds = [100 * 10 ** rng.uniform(0, 2) for _ in range(50)]
    sizes = [int(rng.lognormvariate(9, 1)) for _ in range(3000)]
    simulation = Simulation(speeds, Faults(), seed, known)
    simulation.at(0.0, "arrive", (list(enumerate(sizes)), 0.0))
    report = simulation.run()
    bound = max(sum(sizes) / sum(speeds), max(sizes) / max(speeds))
    assert report.makespan <= 1.03 * bound
    assert report.wasted_tokens <= 0.02 * sum(sizes)
