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
        store: Where it is.
        folder: Of the report.

    Returns:
        What it says; None where there is none.

    Raises:
        OutputError: The folder is something else.
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
    """Finish or remove what a killed process left; only while the report is claimed.

    Args:
        store: Where it is.
        folder: Of the report.
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
    """Return what a folder of ours says of itself; None where it is not whole.

    Args:
        store: Where it is.
        folder: Of the report.
    """
    try:
        return about(store, folder)
    except OutputError:
        return None


def claim_of(folder: str) -> str:
    """Return where the claim on a report is: beside it, hidden.

    Args:
        folder: Of the report.
    """
    parent, slash, name = folder.rpartition("/")
    return f"{parent}{slash}.{name}.claim"


def publish(store: Store, folder: str, revision: int, held: Callable[[], object]) -> None:
    """Let `FOLDER.new` be the report; of an earlier one, number `revision` - 1, becomes `FOLDER.rN`.

    Args:
        store: Where it is.
        folder: Of the report.
        revision: Number of the new one, from 1.
        held: Called before each step that cannot be taken back; what it raises leaves the rest to whoever has the claim.

    Raises:
        OutputError: Something of that name came meanwhile.
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
