"""Read Delta and Iceberg tables as the files of their newest snapshot, which the tables' own libraries name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from models.extras import install
from pipeline.errors import ConfigError
from pipeline.store.base import Entry, Store

# The folder of a Delta table that tells its versions.
DELTA_LOG = "_delta_log"
_DELTA = re.compile(rf"^(|.*/){DELTA_LOG}/\d{{20}}\.[^/]+$")
_ICEBERG = re.compile(r"^(|.*/)metadata/([^/]+\.metadata\.json)$")


def without_what_no_snapshot_names(store: Store, entries: Iterable[Entry]) -> Iterator[tuple[Entry, bool]]:
    """Tell which files of Delta and Iceberg tables the newest snapshot does not name.

    These are data files of older versions, and the tables' metadata.

    Args:
        store: Holds the files.
        entries: Files, among them those of the tables' logs, by which the tables are recognised.

    Yields:
        Each entry, in order, and whether it is to be left out; one that lies in no table is not.

    Raises:
        ConfigError: The library of a table is not installed, or the table cannot be read file by file.
    """
    listed = list(entries)
    tables = {root: _snapshot(store, root, kind, newest) for (root, kind), newest in _roots(listed).items()}
    for entry in listed:
        root = next((root for root in tables if entry.path.startswith(root)), None)
        yield entry, root is not None and entry.path not in tables[root]


def _roots(entries: Iterable[Entry]) -> dict[tuple[str, str], str]:
    """Folders of tables, each with a slash behind it, and their kind; of Iceberg's the newest metadata."""
    found: dict[tuple[str, str], str] = {}
    newest: dict[tuple[str, str], tuple[int, str]] = {}
    for entry in entries:
        if match := _DELTA.match(entry.path):
            found[match[1], "Delta"] = ""
        elif match := _ICEBERG.match(entry.path):
            key = match[1], "Iceberg"
            newest[key] = max(newest.get(key, (0, "")), (entry.modified_ns, entry.path))
            found[key] = newest[key][1]
    return found


def _snapshot(store: Store, root: str, kind: str, metadata: str) -> set[str]:
    """The paths, below the store's root, of a table's files."""
    place = f"{store.url}/{root}".rstrip("/")
    try:
        paths = _delta(place) if kind == "Delta" else _iceberg(f"{store.url}/{metadata}", place)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{place}: a {kind} table; to read what its newest snapshot names, and not what was deleted too, "
            f"{install(kind.lower())}, or name copies of its files"
        ) from error
    except ConfigError:
        raise
    except Exception as error:  # whatever the libraries raise
        raise ConfigError(f"{place}: a {kind} table that cannot be read: {type(error).__name__}: {error}") from error
    return {f"{root}{path}" for path in paths}


def _delta(place: str) -> list[str]:
    from deltalake import DeltaTable

    table = DeltaTable(place)
    features = set(table.protocol().reader_features or ())
    if unread := features & {"deletionVectors", "columnMapping"} or _mapped(table):
        what = ", ".join(sorted(unread))
        raise ConfigError(f"{place}: a Delta table with {what}; its files alone do not tell its rows: purge or rewrite it")
    return [_below(str(uri), place) for uri in table.file_uris()]


def _mapped(table: Any) -> set[str]:
    configuration = table.metadata().configuration
    return {"columnMapping"} if configuration.get("delta.columnMapping.mode", "none") != "none" else set()


def _iceberg(metadata: str, place: str) -> list[str]:
    from pyiceberg.table import StaticTable
    from pyiceberg.utils.concurrent import ExecutorFactory

    try:
        tasks = list(StaticTable.from_metadata(metadata).scan().plan_files())
    finally:
        ExecutorFactory.get_or_create().shutdown()  # its threads would stay; a table that follows makes new ones
        ExecutorFactory._instance = None
    if any(task.delete_files for task in tasks):
        raise ConfigError(f"{place}: an Iceberg table with rows deleted beside its files: rewrite its data files first")
    return [_below(task.file.file_path, place) for task in tasks]


def _below(uri: str, place: str) -> str:
    """A file's path below its table, where the table lies now: it may have been moved as a whole."""
    plain = [unquote(re.sub(r"^[a-z0-9]+://", "", uri)), re.sub(r"^[a-z0-9]+://", "", uri)]
    top = re.sub(r"^[a-z0-9]+://", "", place)
    for path in plain:
        if PurePosixPath(path).is_relative_to(top):
            return PurePosixPath(path).relative_to(top).as_posix()
    raise ConfigError(f"{place}: the table names {uri}, which lies elsewhere; name the place where it was written")
