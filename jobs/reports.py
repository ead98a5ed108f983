"""The function that makes the reports, named here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.nightly.reporting import Reporter

MAKE_REPORT = "pipeline.report.make:make_report"
# Days before a date on which its report depends: what is rising is told against them.
TRAILING_DAYS = 28


def reporter() -> Reporter:
    """What `textmill nightly` makes reports with."""
    from pipeline.nightly.reporting import ChildReporter

    return ChildReporter(MAKE_REPORT, TRAILING_DAYS)
