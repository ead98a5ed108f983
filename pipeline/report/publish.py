"""Where a report goes, and how it takes the place of an earlier one: whole, in one step, the earlier one kept.

`FOLDER` is the report; `FOLDER.r1`, `FOLDER.r2` are the revisions that it had before, untouched. A new one is written beside
them as `FOLDER.new`; then the two folders change names, and what was there gets its number. A process that is killed in between
leaves what the next one clears away.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pipeline.errors import FolderError, OutputError, TakenError
from pipeline.faults import point
from pipeline.store.base import Store

ABOUT = "report.json"


def about(store: Store, folder: str) -> dict[str, Any] | None:
    """Read what a report says of itself.

    Args:
        store: Store of the report.
        folder: The report's folder, below the store's root.

    Returns:
        The content of its `report.json`; None if there is nothing in the folder.

    Raises:
        OutputError: The folder holds something else than a report, or its `report.json` is broken.
    """
    if store.stat(f"{folder}/{ABOUT}") is None:
        if next(iter(store.list(folder)), None) is not None:
            raise OutputError(f"{store.url}/{folder} is no report, and is not written over; name another folder")
        return None
    with store.open_read(f"{folder}/{ABOUT}") as stream:
        try:
            found = json.load(stream)
            return {**found, "revision": int(found["revision"]), "files": dict(found["files"])}
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{store.url}/{folder}/{ABOUT} is not that of a report; name another folder") from error


def tidy(store: Store, folder: str) -> None:
    """Finish or undo what a killed process left half done; the caller must hold the claim on the report.

    A first revision that was being moved into its place is moved on. A revision that has been replaced, but still bears the name
    `FOLDER.new`, gets its number. Anything else under that name was never published, and is deleted.

    Args:
        store: Store of the report.
        folder: The report's folder, below the store's root.

    Raises:
        OutputError: The folder holds something else than a report, or the name that the revision should get is taken.
    """
    left = about_or_none(store, f"{folder}.new")
    begun = next(iter(store.list(folder)), None) is not None and store.stat(f"{folder}/{ABOUT}") is None
    if left is not None and left["revision"] == 1 and begun:
        _move(store, f"{folder}.new", folder)
        return
    now = about(store, folder)
    if left is not None and now is not None and left["revision"] < now["revision"]:
        _move(store, f"{folder}.new", f"{folder}.r{left['revision']}")
    else:
        store.delete(f"{folder}.new")


def about_or_none(store: Store, folder: str) -> dict[str, Any] | None:
    """Return what a report says of itself; None if the folder is empty or no complete report.

    Args:
        store: Store of the report.
        folder: The folder, below the store's root.
    """
    try:
        return about(store, folder)
    except OutputError:
        return None


def claim_of(folder: str) -> str:
    """Return the path of the claim on a report: a hidden name beside its folder.

    Args:
        folder: The report's folder, below the store's root.
    """
    parent, slash, name = folder.rpartition("/")
    return f"{parent}{slash}.{name}.claim"


def publish(store: Store, folder: str, revision: int, held: Callable[[], object]) -> None:
    """Put `FOLDER.new` in the place of the report; the earlier report, revision N, becomes `FOLDER.rN`.

    Args:
        store: Store of the report.
        folder: The report's folder, below the store's root.
        revision: Number of the new revision, from 1; the earlier report has the number before.
        held: Called before each step that cannot be undone; raises if the claim is lost, which leaves the rest to its new holder.

    Raises:
        OutputError: Something that bears the wanted name has appeared meanwhile.
    """
    point("report.publish.before")
    held()
    if revision == 1:
        _move(store, f"{folder}.new", folder)
    else:
        store.swap_folders(f"{folder}.new", folder)
        point("report.exchange.after")
        held()
        _move(store, f"{folder}.new", f"{folder}.r{revision - 1}")
    point("report.publish.after")


def _move(store: Store, source: str, target: str) -> None:
    """Give a folder a name that nothing bears. Raises OutputError if there is something of that name."""
    try:
        store.rename_folder(source, target, ABOUT)
    except (TakenError, FolderError) as error:
        raise OutputError(f"{store.url}/{target} came while the report was made; name another folder, or remove it") from error
