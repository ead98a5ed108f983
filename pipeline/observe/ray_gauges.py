"""The figures of a run as metrics of Ray, which Prometheus reads from every node: `ray_textmill_...`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "textmill_"


class RayGauges:
    """One gauge of Ray for each figure, tagged with the run; Ray must be running in this process.

    Args:
        run: Name of the run.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._gauges: dict[str, Any] = {}

    def show(self, figures: Mapping[str, Any]) -> None:
        """Set a gauge for every figure that is a number; others are left out.

        Args:
            figures: Values by name; the gauge is called `textmill_` and that name.
        """
        from ray.util.metrics import Gauge

        for name, value in figures.items():
            if isinstance(value, int | float):
                gauge = self._gauges.get(name)
                if gauge is None:
                    gauge = self._gauges[name] = Gauge(PREFIX + name, description=f"textmill: {name}", tag_keys=("run",))
                    gauge.set_default_tags({"run": self._run})
                gauge.set(value)
