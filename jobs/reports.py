"""The function that makes the reports of nights, named here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.nightly.reporting import Reporter


def reporter() -> Reporter:
    """What `textmill nightly` makes reports with."""
    from pipeline.nightly.reporting import ChildReporter
    from pipeline.report.window import TRAILING_DAYS

    return ChildReporter("pipeline.report.build:make_report", TRAILING_DAYS)
