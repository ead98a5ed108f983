"""Runs under the faults that seeds draw: every document once, whole, as without faults; see docs/decisions/0023-chaos.md."""

import os

import pytest

from tests.faults.chaos.campaign import Campaign, show
from tests.support.redis_server import needs_redis

pytestmark = needs_redis
# Cheap ones: in this process, or on a Ray of two workers, on the local disk.
FEW = range(5)
MANY = int(os.environ.get("TEXTMILL_CHAOS_SEEDS", "20"))
FIRST = int(os.environ.get("TEXTMILL_CHAOS_FIRST", "0"))


@pytest.fixture(scope="module")
def campaign():
    with Campaign(print) as made:
        yield made


@pytest.mark.timeout(600)
def test_a_few_cheap_seeds(campaign):
    failed = campaign.seeds(FEW, cheap=True)
    assert not failed, "\n\n".join(map(show, failed))
    assert any(one.hits for one in campaign.outcomes), "no fault has come about"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + MANY))
def test_seeds(campaign, seed):
    failed = campaign.seeds([seed])
    assert not failed, "\n\n".join(map(show, failed))


def test_a_seed_draws_one_schedule():
    from tests.faults.chaos.schedule import draw

    drawn = [draw(seed, True, True, True) for seed in range(300)]
    assert drawn == [draw(seed, True, True, True) for seed in range(300)]
    names = {one.name for schedule in drawn for one in schedule.faults}
    assert names >= {"partition", "disk full", "file replaced", "file removed", "clock", "cut", "second driver"}
    assert names >= {f"point {action}" for action in ("kill", "stop", "term", "eio", "estale", "enospc", "drop")}
    assert names >= {f"SIG{signal} worker" for signal in ("KILL", "STOP", "TERM")}
    targets = {name.split()[1] for name in names if name.startswith("SIG")}
    assert targets >= {"driver", "reader", "server", "raylet", "agent", "environment", "gcs", "redis", "namenode", "datanode"}
    assert {"cluster", "workers", "process"} == {one.crew for one in drawn}
    assert {"local", "hdfs", "hdfs-out", "disk"} == {one.place for one in drawn}
