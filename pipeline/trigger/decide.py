"""Which batches are to be run now: a pure function of what was seen, when, and what has been run. No clock, no I/O.

Events (hints) do not occur here: they only make somebody look earlier. So losing, doubling or mixing them up changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.trigger.batches import InputBatch

NOT_YET = "it is not yet time for another attempt"
Action = Literal["run", "wait"]


@dataclass(frozen=True, slots=True)
class Seen:
    """Since when a folder is as it is, by the watcher's own clock in seconds."""

    revision: str
    since_s: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with a batch, and why."""

    batch: InputBatch
    action: Action
    why: str


def decide(
    memory: Mapping[str, Seen],
    now_s: float,
    batches: Iterable[InputBatch],
    not_before_s: Mapping[str, float],
    settle_s: float,
) -> tuple[dict[str, Seen], list[Decision]]:
    """Decide what is to be done with each batch.

    A watcher that has just been started has no memory: it waits `settle_s` again for what has no marker.

    Args:
        memory: What was seen at the last look, by folder.
        now_s: Time by the watcher's own clock, seconds.
        batches: Those whose run has not ended for good.
        not_before_s: Revision -> when it may be tried again.
        settle_s: Seconds in which nothing may change before a folder without a marker is taken as whole.

    Returns:
        The memory for the next look, and one decision for each batch.
    """
    after: dict[str, Seen] = {}
    decisions = []
    for batch in batches:
        revision = batch.revision
        before = memory.get(batch.folder)
        seen = before if before is not None and before.revision == revision else Seen(revision, now_s)
        after[batch.folder] = seen
        action, why = _of(batch, now_s - seen.since_s, settle_s)
        if action == "run" and now_s < not_before_s.get(revision, now_s):
            action, why = "wait", NOT_YET
        decisions.append(Decision(batch, action, why))
    return after, decisions


def _of(batch: InputBatch, unchanged_s: float, settle_s: float) -> tuple[Action, str]:
    if batch.mark in ("marker", "manifest"):
        return "run", batch.text
    if batch.mark in ("incomplete", "unreadable"):
        return "wait", batch.text
    if unchanged_s >= settle_s:
        return "run", f"unchanged for {settle_s:g} s"
    return "wait", f"not unchanged for {settle_s:g} s yet"
