"""The policy on a large cluster, in simulated time; slow, and without Ray.

TEXTMILL_SCALE_WORKERS says how many workers there are (2,000, full 10,000), each with 100 splits; TEXTMILL_SCALE_SCHEDULES how
many schedules of faults (1,000).
"""

import gc
import heapq
import random
import time

import pytest

from tests.scale.sizes import size
from tests.support.simulation import Faults, Simulation

pytestmark = [pytest.mark.slow, pytest.mark.alone]
WORKERS = size("TEXTMILL_SCALE_WORKERS", 2_000, 10_000)
SCHEDULES = size("TEXTMILL_SCALE_SCHEDULES", 1_000, 1_000)
# Of the CPU's time, in pushes to a heap of 10,000 with a pop each. On a quiet machine this is 50,000 leases a second.
LEASE_PAIRS = 40.0 if WORKERS >= 10_000 else 30.0


def pair_s(pairs=200_000):
    """What a push and a pop take here and now, in seconds of this thread's time."""
    rng = random.Random(0)
    heap = [(rng.random(), n) for n in range(10_000)]
    heapq.heapify(heap)
    later = [rng.random() for _ in range(pairs)]
    gc.disable()
    began = time.thread_time()
    for n, one in enumerate(later):
        heapq.heappush(heap, (heap[0][0] + one, n))
        heapq.heappop(heap)
    spent = time.thread_time() - began
    gc.enable()
    return spent / pairs


@pytest.mark.timeout(600)
@pytest.mark.parametrize("known", [True, False])
def test_thousands_of_workers_with_a_hundred_splits_each(known):
    rng = random.Random(1)
    speeds = [1000 * 10 ** rng.uniform(0, 2) for _ in range(WORKERS)]
    sizes = [int(rng.lognormvariate(13.3, 1.0)) for _ in range(100 * WORKERS)]
    total, slow = sum(sizes), 0.0005
    # In a run of an hour one worker in a hundred dies and one in a hundred is taken away; one lease in two thousand takes ten
    # times as long.
    faults = Faults(deaths=0.01 / 3600, taken=0.01 / 3600, slow=slow, fail=1e-5, start_s=5.0)
    simulation = Simulation(speeds, faults, 1, known, tick_s=2.0)
    simulation.at(0.0, "arrive", (list(enumerate(sizes)), 0.0))
    report = simulation.run()
    bound = max(total / sum(speeds), max(sizes) / max(speeds))
    before, lease_s, after = pair_s(), simulation.policy_s() / report.leases, pair_s()
    pairs = lease_s / ((before + after) / 2)
    print(
        f"makespan {report.makespan:,.0f} s, bound {bound:,.0f} s: {report.makespan / bound:.3f}; {report.leases:,} leases, "
        f"{report.copies:,} copies, wasted {report.wasted_tokens / total:.2%}; "
        f"{1 / lease_s:,.0f} leases/s, each {pairs:.1f} heap pairs"
    )
    assert sorted(report.order) == list(range(len(sizes)))
    assert report.makespan <= 1.03 * bound
    assert pairs < LEASE_PAIRS


@pytest.mark.timeout(600)
def test_fault_schedules():
    for seed in range(SCHEDULES):
        rng = random.Random(seed)
        splits = rng.randint(1, 300)
        rates = [rng.choice((0.0, 0.001, 0.01, 0.1)) for _ in range(4)]
        # Workers are taken away without blame, and a split that is longer than every worker's life never ends.
        rates[1] /= 100
        poison = frozenset(rng.sample(range(splits), min(splits, rng.randint(0, 3))))
        faults = Faults(
            rates[0] / 3, rates[1], rng.random() * 9, rates[2], fail=rates[3], poison=poison, start_s=rng.random() * 9
        )
        simulation = Simulation([rng.uniform(1, 100) for _ in range(rng.randint(1, 40))], faults, seed, rng.random() < 0.5)
        everything = [(split, int(rng.lognormvariate(5, 2))) for split in range(splits)]
        cut = rng.randint(0, splits)
        simulation.at(0.0, "arrive", (everything[:cut], 0.0))
        simulation.at(rng.uniform(0, 100), "arrive", (everything[cut:], rng.choice((0.0, 1.0))))
        report = simulation.run()
        given_up = simulation.policy.splits.given_up
        assert len(report.order) == len(set(report.order)) == simulation.policy.splits.finished, f"seed {seed}"
        if not report.ended:
            assert set(report.order) | given_up == set(range(splits)), f"seed {seed}"
            assert not set(report.order) & given_up, f"seed {seed}"


def test_a_fast_worker_that_starts_late_is_not_starved():
    """Ray Data let a fast first stage take all resources before the second had started (ray issue 65540). Here slow workers
    that were there first must leave to a fast one, which loads for two minutes, what it can do sooner."""
    rng = random.Random(0)
    sizes = [int(rng.lognormvariate(10, 1)) for _ in range(5000)]
    simulation = Simulation([1000.0] * 16, Faults(), 0, known=True)
    simulation.join(120.0, 16, 100_000.0)
    simulation.at(0.0, "arrive", (list(enumerate(sizes)), 0.0))
    report = simulation.run()
    slow, fast = 16_000.0, 100_000.0
    bound = max(120.0, (sum(sizes) + 120.0 * fast) / (slow + fast))
    print(f"{report.makespan / bound:.3f} of the bound")
    assert report.makespan <= 1.03 * bound
