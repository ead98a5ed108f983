"""Reports by date and revision: a revision is published when its manifest appears, and never changes after that.

`nights/2026-11-22/r0001.json` is the manifest of the first revision, which names the folder of its files, with their sizes
and digests. The manifest with the highest number is the current one; older ones stay as they are.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any
from uuid import uuid4

from pipeline.errors import NoReportError, TakenError
from pipeline.nightly.dates import window
from pipeline.nightly.index import Index, listed, read_json
from pipeline.sink.compaction import gathered
from pipeline.sink.files import write_whole
from pipeline.sink.layout import NIGHTLY, NIGHTLY_STAGING, NIGHTS
from pipeline.store.base import Store

_COMPACTIONS = f"{NIGHTLY}/revisions"
MANIFEST = re.compile(r"^r(\d{4,})\.json$")
FIRST, LATE, ANEW, SETTINGS = "first", "late data", "tagged anew", "settings"


@dataclass(frozen=True, slots=True)
class Revision:
    """The current revision of a date: its number, and what it was made of."""

    number: int
    inputs: dict[str, list[list[Any]]]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RevisionDue:
    """A date that needs a new revision, its number, and why."""

    day: date
    number: int
    reason: str


def inputs_of(index: Index, day: date, trailing_days: int) -> dict[str, list[list[Any]]]:
    """Return all that the report of a day depends on beside its settings, as JSON: by date what plans have of it.

    Args:
        index: What the output holds of every day.
        day: The day.
        trailing_days: Days before it on which its report depends.
    """
    return {str(one): [list(asdict(h).values()) for h in index.days.get(one, ())] for one in window(day, trailing_days)}


def due(
    nights: Iterable[date], index: Index, trailing_days: int, settings: Mapping[str, Any], current: Mapping[date, Revision]
) -> list[RevisionDue]:
    """Find the dates that have no revision, or whose newest one was made of something else.

    Args:
        nights: Dates that may be due.
        index: What the output holds of every day.
        trailing_days: Days before a date on which its report depends.
        settings: What else a report is made of, as JSON.
        current: The newest revisions.

    Returns:
        What is due, in order of the dates.
    """
    found = []
    for day in nights:
        last = current.get(day)
        if last is None:
            found.append(RevisionDue(day, 1, FIRST))
        elif reason := _differs(last, inputs_of(index, day, trailing_days), settings):
            found.append(RevisionDue(day, last.number + 1, reason))
    return found


def _differs(last: Revision, inputs: dict[str, list[list[Any]]], settings: Mapping[str, Any]) -> str | None:
    if last.settings != dict(settings):
        return SETTINGS
    if last.inputs == inputs:
        return None
    before = {tuple(holding) for holdings in last.inputs.values() for holding in holdings}
    now = {tuple(holding) for holdings in inputs.values() for holding in holdings}
    return LATE if before <= now else ANEW


def current_revisions(store: Store) -> dict[date, Revision]:
    """Find the newest revision of every date that has one.

    Args:
        store: The output.

    Returns:
        The revisions, by date.

    Raises:
        OutputError: A manifest cannot be read.
    """
    newest: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for entry in store.list(NIGHTS):
        parts = entry.path.split("/")
        if len(parts) == 3 and (match := MANIFEST.match(parts[2])):
            newest[parts[1]] = max(newest.get(parts[1], 0), int(match[1]))
            sizes[entry.path] = entry.size
    paths = {manifest_path(date.fromisoformat(day), number): (day, number) for day, number in sorted(newest.items())}

    def read(path: str) -> dict[str, Any]:
        manifest = read_json(store, path)
        return {"inputs": manifest["inputs"], "settings": manifest["settings"]}

    found = gathered(store, _COMPACTIONS, store.list(_COMPACTIONS), sizes, paths, read, NIGHTLY_STAGING)
    return {
        date.fromisoformat(day): Revision(number, found[path]["inputs"], found[path]["settings"])
        for path, (day, number) in paths.items()
    }


def manifest_path(day: date, number: int) -> str:
    """Return where the manifest of a revision is.

    Args:
        day: The date.
        number: Of the revision, from 1.
    """
    return f"{NIGHTS}/{day}/r{number:04d}.json"


def new_folder(due: RevisionDue) -> str:
    """Return a folder for the files of a revision that nobody else writes to.

    Args:
        due: The revision.
    """
    return f"{NIGHTS}/{due.day}/r{due.number:04d}-{uuid4().hex[:12]}"


def publish(store: Store, due: RevisionDue, folder: str, about: Mapping[str, Any]) -> str:
    """Write the manifest of a revision whose files are there.

    Args:
        store: The output.
        due: The revision.
        folder: Of its files.
        about: What else the manifest says.

    Returns:
        Path of the manifest.

    Raises:
        NoReportError: There are no files, or somebody else has published that revision.
    """
    files = [_described(store, entry.path, folder) for entry in store.list(folder)]
    if not files:
        raise NoReportError(f"{store.url}/{folder}: the report of {due.day} has made no file")
    path = manifest_path(due.day, due.number)
    body = {"date": str(due.day), "revision": due.number, "reason": due.reason, **about, "folder": folder, "files": files}
    try:
        write_whole(store, path, json.dumps(body, indent=1).encode() + b"\n", "revision", NIGHTLY_STAGING)
    except TakenError as error:
        store.delete(folder)
        raise NoReportError(f"{store.url}/{path} was published by somebody else just now; run again", 3) from error
    return path


def _described(store: Store, path: str, folder: str) -> dict[str, Any]:
    with store.open_read(path) as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        size = stream.tell()
    return {"path": path.removeprefix(f"{folder}/"), "size_bytes": size, "sha256": digest}


def published_folders(store: Store, day: str) -> set[str]:
    """Return the folders of a date's reports that a manifest names.

    Args:
        store: The output.
        day: The date, ISO.
    """
    return {str(read_json(store, path)["folder"]) for path in listed(store, f"{NIGHTS}/{day}", ".json")}
