"""Named points at which a test can let something go wrong, as a power cut, a paused machine or a bad disk would.

TEXTMILL_FAULT="part.rename.after" kills the process with SIGKILL when it first comes by that point, "part.rename.after:3" the
third time; "part.rename.after:3=stop,source.read:10=eio" names what happens, for several points. "*" for a number is each time.

| action | what happens |
|---|---|
| kill, term, stop | the process sends itself SIGKILL, SIGTERM or SIGSTOP |
| eio, estale, enospc | OSError with that number |
| drop | `point` is True: the code beside it leaves undone what the point names |
| delay | nothing for DELAY_S |

With "@FILE" the faults stand in that file, which is read at the first point. TEXTMILL_FAULT_MARK names a folder in which each
fault leaves a file "POINT:N=ACTION" when it happens, with the process id and with the point's place; one whose file is there does
not happen again, in any process. Nothing happens, and nothing is looked up, without the variable.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ENV, MARK_ENV = "TEXTMILL_FAULT", "TEXTMILL_FAULT_MARK"
DELAY_S = 0.15
EVERY = "*"
_SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP}
_ERRORS = {"eio": errno.EIO, "estale": errno.ESTALE, "enospc": errno.ENOSPC}
ACTIONS = (*_SIGNALS, *_ERRORS, "drop", "delay")

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
# Those of files that are tagged anew: the reduced part is staged, the part that it replaces is deleted, a new part gets its name.
SUPERSEDE_POINTS = (
    "lost.write.before",
    "lost.write.after",
    "lost.rename.after",
    "supersede.staged.after",
    "supersede.deleted.after",
    "supersede.publish.before",
)
# Those of a compaction, which not every run writes, in their order.
COMPACT_POINTS = ("compact.write.before", "compact.write.after", "compact.rename.after")
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

# Those on a document's way: a record is read, the process that reads tables gives a batch, a block goes from the reader to the
# model (drop: it does not).
READ_POINTS = ("source.read", "tables.batch", "block.read")

# Every point of an index of passages that is made on a disk: a part is in it, the generation is about to get its name, it has it.
INDEX_POINTS = ("index.part", "index.rename.before", "index.rename.after")
# Those of one that is made on HDFS or S3: a file of the generation is there, then its manifest is written and gets its name.
INDEX_PUBLISH_POINTS = (
    "index.part",
    "index.file",
    "generation.write.before",
    "generation.write.after",
    "generation.rename.after",
)
# Those of a generation that is fetched from there, in their order.
INDEX_FETCH_POINTS = ("fetch.file", "fetch.rename.before", "fetch.rename.after")

# Those of the speech model's installation: behind a wheel, within a file, before and behind the rename that names it.
VOICE_POINTS = ("voice.fetched", "voice.chunk", "voice.rename.before", "voice.rename.after")

_KNOWN = frozenset(
    (
        *POINTS,
        *COMPACT_POINTS,
        *NIGHT_POINTS,
        *BATCH_POINTS,
        *REPORT_POINTS,
        *READ_POINTS,
        *SUPERSEDE_POINTS,
        *INDEX_POINTS,
        *INDEX_PUBLISH_POINTS,
        *INDEX_FETCH_POINTS,
        *VOICE_POINTS,
    )
)


@dataclass(frozen=True, slots=True)
class Armed:
    """A fault that is armed: what happens at which passage of a point.

    Attributes:
        point: Name of the fault point.
        time: Which passage of this process, from "1"; "*" is every one.
        action: One of ACTIONS.
    """

    point: str
    time: str
    action: str

    def __str__(self) -> str:
        return f"{self.point}:{self.time}={self.action}"


def parse(text: str) -> list[Armed]:
    """Parse the faults that a value of TEXTMILL_FAULT arms.

    Args:
        text: Faults of the form POINT[:N][=ACTION], with commas between them.

    Returns:
        The faults, in their order.

    Raises:
        ValueError: A point or an action does not exist, or N is neither a number nor "*".
    """
    found = []
    for one in filter(None, map(str.strip, text.split(","))):
        place, _, action = one.partition("=")
        name, _, time_ = place.partition(":")
        armed = Armed(name, time_ or "1", action or "kill")
        if armed.point not in _KNOWN or armed.action not in ACTIONS or not (armed.time == EVERY or armed.time.isdigit()):
            raise ValueError(f"{ENV}: {one}: no such fault")
        found.append(armed)
    return found


_text = os.environ.get(ENV, "")
_passed: Counter[str] = Counter()
_armed: list[Armed] | None = None


def point(name: str, place: str = "") -> bool:
    """Pass a fault point: if a fault is armed for this passage, it happens now.

    Args:
        name: Name of the point, one of those listed in this module.
        place: What the fault's mark says of where it happened, for instance a path.

    Returns:
        Whether the caller must leave undone what the point names (action `drop`).

    Raises:
        OSError: The armed action is an error of the operating system.
    """
    if not _text:
        return False
    assert name in _KNOWN, name
    global _armed
    if _armed is None:
        _armed = parse(Path(_text[1:]).read_text() if _text.startswith("@") else _text)
    _passed[name] += 1
    wanted = [one for one in _armed if one.point == name and one.time in (EVERY, str(_passed[name]))]
    return any([_happens(one) for one in wanted if one.time == EVERY or _marked(one, place)])


def _marked(fault: Armed, place: str) -> bool:
    """Whether it is to happen now; leaves its mark then."""
    folder = os.environ.get(MARK_ENV)
    if not folder:
        return True
    try:
        with open(Path(folder, str(fault)), "x", encoding="ascii") as mark:
            mark.write(f"{os.getpid()} {place}")
    except FileExistsError:
        return False
    return True


def _happens(fault: Armed) -> bool:
    if fault.action == "delay":
        time.sleep(DELAY_S)
    elif (number := _ERRORS.get(fault.action)) is not None:
        raise OSError(number, f"{os.strerror(number)} (fault point {fault.point})")
    elif fault.action in _SIGNALS:
        os.kill(os.getpid(), _SIGNALS[fault.action])
    return fault.action == "drop"
