"""Which files of the input hold documents, and which are left alone, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from pipeline.errors import ConfigError
from pipeline.store.base import Entry, Store
from pipeline.store.local import LocalStore

PACKED = (".gz", ".zst", ".bz2")
FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "text",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
}
UNFINISHED = (".tmp", "._copying_", ".inprogress", ".part", ".crdownload")
_MAGIC = re.compile(r"[*?[]")


@dataclass(slots=True)
class Found:
    """The input's files, sorted by path; `skipped` counts, by reason, those that are left alone."""

    store: Store
    files: list[Entry] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def format_of(path: str) -> str | None:
    """The format that a file's name promises, or None."""
    name = PurePosixPath(path.lower())
    if name.suffix in PACKED:
        name = name.with_suffix("")
    return FORMATS.get(name.suffix)


def partitions_of(path: str) -> dict[str, str | None]:
    """Values of Hive-style folders: "dt=2026-11-22/a.jsonl" gives {"dt": "2026-11-22"}."""
    found: dict[str, str | None] = {}
    for folder in path.split("/")[:-1]:
        key, equals, value = folder.partition("=")
        if equals and key:
            found[key] = None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
    return found


def discover(sources: Sequence[str]) -> Found:
    """The documents' files in files, folders and globs, each once.

    Paths are relative to the folder that all sources share. Files that are hidden, empty, not finished, of no known
    format or with a name that is not UTF-8 are skipped and counted. Raises ConfigError if a source does not exist.
    """
    tops = [_existing(source) for source in sources]
    flat = [path for paths in tops for path in paths]
    root = _shared([path if path.is_dir() else path.parent for path in flat])
    found = Found(LocalStore(root))
    entries: dict[str, Entry] = {}
    for path in flat:
        inside = path.relative_to(root).as_posix()
        if path.is_dir():
            for entry in found.store.list("" if inside == "." else inside):
                if reason := _skip(entry, "" if inside == "." else inside):
                    found.skipped[reason] += 1
                else:
                    entries[entry.path] = entry
        elif (single := found.store.stat(inside)) is not None:
            if single.size == 0:
                found.skipped["empty"] += 1
            elif _skip(single, "") == "name is not UTF-8":
                raise ConfigError(f"{str(path).encode('utf-8', 'replace').decode()}: the name is not UTF-8; rename the file")
            elif format_of(inside) is None:
                known = ", ".join(FORMATS)
                raise ConfigError(f"{path}: not a known format; names end in {known}, and in {', '.join(PACKED)} behind it")
            else:
                entries[inside] = single
    found.files = [entries[path] for path in sorted(entries)]
    return found


def _existing(source: str) -> list[Path]:
    path = Path(source)
    if path.exists():
        return [path.resolve()]
    if _MAGIC.search(source):
        fixed = next(i for i, part in enumerate(path.parts) if _MAGIC.search(part))
        base = Path(*path.parts[:fixed]) if fixed else Path()
        if matches := sorted(match.resolve() for match in base.glob(str(Path(*path.parts[fixed:])))):
            return matches
        raise ConfigError(f"{source}: no file matches")
    raise ConfigError(f"{source}: no such file or folder")


def _shared(folders: Sequence[Path]) -> Path:
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
    return None if format_of(inside) else "other format"
