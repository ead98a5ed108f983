"""The manifest of a night's run: what it did, and the exit code that it ended with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

from pipeline.nightly.index import listed, read_json
from pipeline.sink.files import write_whole
from pipeline.sink.layout import NIGHT_RUNS, NIGHTLY_STAGING
from pipeline.store.base import Store


@dataclass(slots=True)
class Night:
    """What a night's run came to.

    Attributes:
        status: finished, failed or stopped.
        exit_code: That of the process.
        made: The published revisions: date, revision, reason, rows, manifest.
        undated: Documents without a date: no report has them.
        older: Documents of dates before the first that is reported: no report has them.
        index: What the index of passages holds, see `IndexCounts`; empty if the job has none, or it is not up to date.
    """

    date: str
    zone: str
    submission: str | None
    run: str
    started: str
    ended: str = ""
    status: str = "failed"
    exit_code: int = 1
    error: str = ""
    tag: dict[str, Any] = field(default_factory=dict)
    made: list[dict[str, Any]] = field(default_factory=list)
    undated: int = 0
    older: int = 0
    retired: list[str] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)


def new_night(day: date, zone: str, submission: str | None) -> Night:
    """Return a night that begins now.

    Args:
        day: Logical date.
        zone: Zone of the date.
        submission: Id under which it was submitted, if it was.
    """
    now = datetime.now(UTC)
    return Night(str(day), zone, submission, f"{now:%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}", now.isoformat())


def write_night(store: Store, night: Night) -> str:
    """Write the manifest.

    Args:
        store: The output.
        night: The night.

    Returns:
        Path of the manifest.
    """
    path = f"{NIGHT_RUNS}/{night.date}/{night.run}.json"
    write_whole(store, path, json.dumps(asdict(night), indent=1).encode() + b"\n", "night", NIGHTLY_STAGING)
    return path


def nights_of(store: Store, day: date) -> list[dict[str, Any]]:
    """Return the manifests of a date's runs, the latest last.

    Args:
        store: The output.
        day: The date.
    """
    nights = [read_json(store, path) for path in listed(store, f"{NIGHT_RUNS}/{day}", ".json")]
    # Their names tell whole seconds, and two may begin within one.
    return sorted(nights, key=lambda night: str(night["started"]))


def nights_by_submission(store: Store, day: date) -> dict[str, dict[str, Any]]:
    """Return the manifests of a date's runs that were submitted, by the id of their submission.

    Args:
        store: The output.
        day: The date.
    """
    return {str(night["submission"]): night for night in nights_of(store, day) if night.get("submission")}
