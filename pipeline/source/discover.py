"""Which files of the input hold documents, and which are left alone, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote

from pipeline.errors import ConfigError, StoreError
from pipeline.source.contents import told_by_bytes
from pipeline.source.formats import PACKED, SUFFIXES, format_of
from pipeline.store.base import Entry, Store
from pipeline.store.finding import Top, existing
from pipeline.store.opening import join_url, open_store
from pipeline.store.settings import StoreConfig

# Such files are read if --format says what they are.
NO_SUFFIX = "no suffix that tells the format"
UNFINISHED = (".tmp", "._copying_", ".inprogress", ".part", ".crdownload")


@dataclass(slots=True)
class Found:
    """The input's files, sorted by path; `skipped` counts, by reason, those that are left alone; `marks` are files of the names
    that were asked for, by their paths, documents or not.
    """

    store: Store
    files: list[Entry] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    marks: dict[str, Entry] = field(default_factory=dict)


def partitions_of(path: str) -> dict[str, str | None]:
    """Values of Hive-style folders: "dt=2026-11-22/a.jsonl" gives {"dt": "2026-11-22"}."""
    found: dict[str, str | None] = {}
    for folder in path.split("/")[:-1]:
        key, equals, value = folder.partition("=")
        if equals and key:
            found[key] = None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
    return found


def discover(sources: Sequence[str], config: StoreConfig | None = None, marks: Collection[str] = (), unnamed: str = "") -> Found:
    """The documents' files in files, folders and globs, each once.

    Paths are relative to the folder that all sources share. Files that are hidden, empty, not finished, still being written, of
    no known format or with a name that is not UTF-8 are skipped and counted. `marks`: names of files that are told of beside, as
    the listing that finds the documents shows them; beside a source that is a file they are asked for. `unnamed` is the format of
    files whose names tell none: of those that are asked for, and in folders of those without a suffix; if it is not given, the
    latter are read if their first bytes tell. Raises ConfigError if a
    source does not exist, or if they lie on several file systems.
    """
    tops = [top for source in sources for top in existing(source, config)]
    if len({(top.scheme, top.authority) for top in tops}) > 1:
        raise ConfigError(f"{', '.join(sources)}: on several file systems; tag them one after the other, into one output each")
    root = _shared([top.path if top.folder else top.path.parent for top in tops])
    store = open_store(join_url(tops[0].scheme, tops[0].authority, "" if str(root) == "/" else str(root)), config)
    found = Found(store)
    entries: dict[str, Entry] = {}
    beside = set[str]()  # paths at which there may be marks that no listing shows
    for top in tops:
        inside = top.path.relative_to(root).as_posix()
        inside = "" if inside == "." else inside
        if top.folder:
            entries |= _listed(found, inside, marks, unnamed)
        elif (single := store.stat(inside)) is not None:
            if single.size == 0:
                found.skipped["empty"] += 1
            else:
                _check_name(top, single, unnamed or told_by_bytes(store, single))
                entries[inside] = single
                beside.update(f"{inside.rpartition('/')[0]}/{mark}".lstrip("/") for mark in marks)
    _ask(found, beside - found.marks.keys())
    for path in sorted(entries):
        if store.unfinished(entries[path]):
            found.skipped["unfinished"] += 1
        else:
            found.files.append(entries[path])
    return found


def _listed(found: Found, folder: str, marks: Collection[str], unnamed: str) -> dict[str, Entry]:
    """What a folder holds, by path, without what is left alone."""
    entries = {}
    for entry in found.store.list(folder):
        if entry.path.rpartition("/")[2] in marks:
            found.marks[entry.path] = entry
        reason = _skip(entry, folder)
        if reason == NO_SUFFIX and (unnamed or told_by_bytes(found.store, entry)):
            reason = None
        if reason:
            found.skipped[reason] += 1
        else:
            entries[entry.path] = entry
    return entries


def _ask(found: Found, paths: Collection[str]) -> None:
    """Look for marks where nothing is listed; one that cannot be asked for is none."""
    for path in sorted(paths):
        with suppress(StoreError):
            if (mark := found.store.stat(path)) is not None:
                found.marks[path] = mark


def _check_name(top: Top, single: Entry, unnamed: str) -> None:
    if _skip(single, "") == "name is not UTF-8":
        raise ConfigError(f"{str(top.path).encode('utf-8', 'replace').decode()}: the name is not UTF-8; rename the file")
    if format_of(single.path) is None and not unnamed:
        known = ", ".join(SUFFIXES)
        more = f"and in {', '.join(PACKED)} behind it; --format says what another one is"
        raise ConfigError(f"{top.path}: not a known format; names end in {known}, {more}")


def _shared(folders: Sequence[PurePosixPath]) -> PurePosixPath:
    shared = folders[0]
    while not all(folder.is_relative_to(shared) for folder in folders):
        shared = shared.parent
    return shared


def _skip(entry: Entry, top: str) -> str | None:
    try:
        entry.path.encode()
    except UnicodeEncodeError:
        return "name is not UTF-8"  # no plan can name it
    inside = entry.path.removeprefix(top).lstrip("/")
    if any(part.startswith((".", "_")) for part in inside.split("/")):
        return "hidden"
    if inside.lower().endswith(UNFINISHED):
        return "unfinished"
    if entry.size == 0:
        return "empty"
    if format_of(inside):
        return None
    return "other format" if PurePosixPath(inside).suffix else NO_SUFFIX
