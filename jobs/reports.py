"""The function that makes the reports, named here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.nightly.reporting import Reporter

MODULE, FUNCTION, WINDOW = "pipeline.report.make", "make_report", "pipeline.report.window"


def reporter() -> Reporter:
    """What `textmill nightly` makes reports with."""
    from importlib import import_module
    from inspect import signature

    from pipeline.nightly.reporting import ChildReporter

    name = f"{MODULE}:{FUNCTION}"
    try:
        takes_zone = "zone" in signature(getattr(import_module(MODULE), FUNCTION)).parameters
        return ChildReporter(name, int(import_module(WINDOW).TRAILING_DAYS), takes_zone)
    except ModuleNotFoundError:
        return ChildReporter(name, 0)  # its own check says what is missing
