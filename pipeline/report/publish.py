"""Where a report goes, and how it takes the place of an earlier one: whole, in one step, the earlier one kept.

`FOLDER` is the report; `FOLDER.r1`, `FOLDER.r2` are the revisions that it had before, untouched. A new one is written beside
them as `FOLDER.new`; then the two folders change names, and what was there gets its number. On a store that cannot exchange
folders in one step what was there gets its number first, and for a moment there is none. A process that is killed in between
leaves what the next one finishes or clears away.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline.errors import OutputError, StoreError, TakenError
from pipeline.faults import point
from pipeline.store.base import Store
from pipeline.store.local import LocalStore

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
    left = about_or_none(store, f"{folder}.new")
    if left is not None and not isinstance(store, LocalStore) and _had_begun(store, folder, left):
        _switch(store, folder, left["revision"])
        return
    now = about(store, folder)
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
            _move(store, f"{folder}.new", folder)
        except TakenError as error:
            raise OutputError(f"{store.url}/{folder} came while the report was made; name another folder") from error
    elif not isinstance(store, LocalStore):
        _switch(store, folder, revision)
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


def _switch(store: Store, folder: str, revision: int) -> None:
    """Two moves, each of which may have been begun or done."""
    kept = f"{folder}.r{revision - 1}"
    if revision > 1 and store.stat(f"{kept}/{ABOUT}") is None:
        _move(store, folder, kept)
        point("report.exchange.after")
    elif (left := about_or_none(store, folder)) is not None and left["revision"] < revision:
        store.delete(f"{folder}/{ABOUT}")  # it was copied last, and is the one file that was not yet removed
    _move(store, f"{folder}.new", folder)


def _had_begun(store: Store, folder: str, left: dict[str, Any]) -> bool:
    """Whether a process was killed while it moved: the number of what was there is taken, or some of a first report is there."""
    if left["revision"] > 1:
        return next(iter(store.list(f"{folder}.r{left['revision'] - 1}")), None) is not None
    here = {entry.path.removeprefix(f"{folder}/") for entry in store.list(folder)}
    return bool(here) and here <= left["files"].keys()


def _move(store: Store, source: str, target: str) -> None:
    """Rename a folder; on a store that has none, file after file, and what says that the report is there comes last."""
    try:
        store.rename_no_overwrite(source, target)
    except TakenError:
        raise
    except StoreError:
        if isinstance(store, LocalStore):
            raise
        files = [entry.path for entry in store.list(source)]
        for path in sorted(files, key=lambda path: path.endswith(f"/{ABOUT}")):
            into = target + path.removeprefix(source)
            try:
                store.rename_no_overwrite(path, into)
            except TakenError:  # by who was killed between a copy and the removal
                if _bytes(store, path) != _bytes(store, into):
                    raise
        store.delete(source)


def _bytes(store: Store, path: str) -> bytes:
    with store.open_read(path) as stream:
        data: bytes = stream.read()
        return data
