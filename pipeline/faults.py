"""Named points at which a test can end the process, as a power cut would.

TEXTMILL_FAULT="part.rename.after" kills it with SIGKILL when it first comes by that point, "part.rename.after:3" the third
time. Nothing happens without the variable.
"""

from __future__ import annotations

import os
import signal

ENV = "TEXTMILL_FAULT"
_passed: dict[str, int] = {}

# Every point of the commit, in the order in which a run comes by.
POINTS = (
    "plan.write.before",
    "plan.write.after",
    "plan.rename.after",
    "part.write.before",
    "part.group.after",
    "part.close.after",
    "part.verify.after",
    "part.rename.after",
    "side.rename.after",
    "clean.after",
    "done.write.before",
    "done.write.after",
    "done.rename.after",
    "metrics.write.before",
    "metrics.write.after",
    "metrics.rename.after",
    "manifest.write.before",
    "manifest.write.after",
    "manifest.rename.after",
)
# Those of the night's job, in their order.
NIGHT_POINTS = (
    "night.begin",
    "days.write.before",
    "days.write.after",
    "days.rename.after",
    "report.before",
    "report.after",
    "revision.write.before",
    "revision.write.after",
    "revision.rename.after",
    "retire.before",
    "night.write.before",
    "night.write.after",
    "night.rename.after",
)
# Those of a batch that a trigger runs, in their order.
BATCH_POINTS = ("batch.begin", "batch.ran", "batch.write.before", "batch.write.after", "batch.rename.after")

# Every point of the publication of a report that takes the place of another one, in order.
REPORT_POINTS = ("report.publish.before", "report.exchange.after", "report.publish.after")


def point(name: str) -> None:
    """Come by a point."""
    wanted = os.environ.get(ENV)
    if not wanted:
        return
    assert name in (*POINTS, *NIGHT_POINTS, *BATCH_POINTS, *REPORT_POINTS), name
    here, _, times = wanted.partition(":")
    if here == name:
        _passed[name] = _passed.get(name, 0) + 1
        if _passed[name] == int(times or 1):
            os.kill(os.getpid(), signal.SIGKILL)
