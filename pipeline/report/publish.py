"""Where a report goes, and how it takes the place of an earlier one: whole, in one step, the earlier one kept.

`FOLDER` is the report; `FOLDER.r1`, `FOLDER.r2` are the revisions that it had before, untouched. A new one is written beside
them as `FOLDER.new`; then the two folders change names, and what was there gets its number. A process that is killed in between
leaves what the next one clears away.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline.errors import OutputError, StoreError, TakenError
from pipeline.faults import point
from pipeline.store.base import Store

ABOUT = "report.json"


def about(store: Store, folder: str) -> dict[str, Any] | None:
    """What a report says of itself; None where there is none. Raises OutputError for a folder that is something else."""
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
    """Finish or remove what a killed process left; only while the report is claimed."""
    left, now = about_or_none(store, f"{folder}.new"), about(store, folder)
    if left is not None and now is not None and left["revision"] < now["revision"]:
        _keep(store, folder, left["revision"])
    else:
        store.delete(f"{folder}.new")


def about_or_none(store: Store, folder: str) -> dict[str, Any] | None:
    """What a folder of ours says of itself; None where it is not whole."""
    try:
        return about(store, folder)
    except OutputError:
        return None


def publish(store: Store, folder: str, revision: int) -> None:
    """Let `FOLDER.new` be the report; of an earlier one, number `revision` - 1, becomes `FOLDER.rN`."""
    point("report.publish.before")
    if revision == 1:
        try:
            store.rename_no_overwrite(f"{folder}.new", folder)
        except TakenError as error:
            raise OutputError(f"{store.url}/{folder} came while the report was made; name another folder") from error
        except StoreError:
            _one_by_one(store, folder)
    else:
        store.exchange(f"{folder}.new", folder)
        point("report.exchange.after")
        _keep(store, folder, revision - 1)
    point("report.publish.after")


def _keep(store: Store, folder: str, revision: int) -> None:
    try:
        store.rename_no_overwrite(f"{folder}.new", f"{folder}.r{revision}")
    except StoreError:
        if about_or_none(store, f"{folder}.r{revision}") is None:
            raise
        store.delete(f"{folder}.new")


def _one_by_one(store: Store, folder: str) -> None:
    """For a store that cannot rename folders: what says that the report is there comes last."""
    files = [entry.path for entry in store.list(f"{folder}.new")]
    for path in sorted(files, key=lambda path: path.endswith(f"/{ABOUT}")):
        store.rename_no_overwrite(path, folder + path.removeprefix(f"{folder}.new"))
    store.delete(f"{folder}.new")
