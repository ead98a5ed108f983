"""The learning rate's schedule: whatever the run's length, between nothing and the peak."""

import pytest

from models.factory.loop import Schedule


@pytest.mark.parametrize("steps", range(1, 200))
def test_the_rate_rises_to_the_peak_and_falls_and_is_never_above(steps):
    schedule = Schedule(1.0, warmup=0.1, floor=0.05)
    factors = [schedule.factor(step, steps) for step in range(steps)]
    top = factors.index(max(factors))
    assert 0 < min(factors)
    assert max(factors) <= 1.0
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
