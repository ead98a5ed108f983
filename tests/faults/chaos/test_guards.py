"""The harness itself is guarded: with a guard of the product taken out (by site/sitecustomize.py), a seed that aims at it is red;
with the guard it is green.
"""

import pytest

from tests.faults.chaos.campaign import Campaign, show
from tests.faults.chaos.schedule import Fault, Schedule
from tests.support.redis_server import needs_redis

pytestmark = [needs_redis, pytest.mark.timeout(600)]

# What is switched off -> the faults that aim at it, and the invariants that must be seen broken.
AIMED = {
    # A driver is paused for longer than its claim holds; another one comes and goes on. Then the first wakes.
    "claim": ([Fault("second", "late", after=2)], ("I7",)),
    # A block is lost between the reader and the model.
    "conservation": ([Fault("point", "block.read:2=drop")], ("I1",)),
    # A part is cut short after it was closed.
    "verify": ([Fault("cut", "part.close.after:2=stop", seconds=0.3)], ("I3",)),
    # A driver is paused just before it publishes a part; another one publishes it. Then the first wakes.
    "overwrite": ([Fault("point", "part.verify.after:3=stop", seconds=60.0), Fault("second", "early", after=2)], ("I3", "I6")),
}


@pytest.fixture(scope="module")
def campaign():
    with Campaign() as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("guard", AIMED)
def test_with_the_guard_the_seed_is_green(campaign, guard):
    faults, _ = AIMED[guard]
    outcome = campaign.run(Schedule(0, 0, "process", "local", False, tuple(faults)))
    assert len(outcome.hits) == len(faults), "a fault has not come about"
    assert not outcome.problems, show(outcome)


@pytest.mark.parametrize("guard", [pytest.param(one, marks=() if one == "conservation" else pytest.mark.slow) for one in AIMED])
def test_without_the_guard_the_seed_is_red(campaign, guard):
    faults, broken = AIMED[guard]
    outcome = campaign.run(Schedule(0, 0, "process", "local", False, tuple(faults)), off=guard)
    assert len(outcome.hits) == len(faults), "a fault has not come about"
    assert any(one.startswith(broken) for one in outcome.problems), outcome
