"""What a user's source names: files and folders, on this machine or below a URL; globs are matched."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from pipeline.errors import ConfigError, FolderError
from pipeline.store.base import Store
from pipeline.store.opening import join_url, open_store, split_url
from pipeline.store.settings import StoreConfig

_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class Top:
    """A file or folder by file system ("" and "" on this machine) and absolute path in it."""

    scheme: str
    authority: str
    path: PurePosixPath
    folder: bool


def existing(source: str, config: StoreConfig | None) -> list[Top]:
    """What a source names. Raises ConfigError if that is nothing, StoreError if the file system cannot be asked."""
    scheme, authority, path = split_url(source)
    if not scheme:
        return [Top("", "", PurePosixPath(found), found.is_dir()) for found in _local(source, Path(path))]
    store = open_store(join_url(scheme, authority, ""), config)
    name = path.lstrip("/")
    kind = _kind(store, name)
    if kind is not None:
        return [Top(scheme, authority, PurePosixPath(path or "/"), kind)]
    if not _MAGIC.search(name):
        raise ConfigError(f"{source}: no such file or folder")
    if found := sorted(_matches(store, name)):
        return [Top(scheme, authority, PurePosixPath(f"/{one}"), folder) for one, folder in found]
    raise ConfigError(f"{source}: no file matches")


def _local(source: str, path: Path) -> Sequence[Path]:
    if path.exists():
        return [path]
    if not _MAGIC.search(source):
        raise ConfigError(f"{source}: no such file or folder")
    given = Path(source.removeprefix("file://"))
    fixed = next(i for i, part in enumerate(given.parts) if _MAGIC.search(part))
    base = Path(*given.parts[:fixed]) if fixed else Path()
    if matches := sorted(match.resolve() for match in base.glob(str(Path(*given.parts[fixed:])))):
        return matches
    raise ConfigError(f"{source}: no file matches")


def _kind(store: Store, name: str) -> bool | None:
    """Whether it is a folder; None if there is nothing of that name."""
    try:
        return None if store.stat(name) is None else False
    except FolderError:
        return True


def _matches(store: Store, pattern: str) -> set[tuple[str, bool]]:
    """Files and folders that match; ** stands for any number of folders."""
    parts = pattern.split("/")
    fixed = next(i for i, part in enumerate(parts) if _MAGIC.search(part))
    found = set()
    for entry in store.list("/".join(parts[:fixed])):
        names = entry.path.split("/")
        for depth in _depths(names, parts):
            found.add(("/".join(names[:depth]), depth < len(names)))
    return found


def _depths(names: Sequence[str], parts: Sequence[str]) -> Iterator[int]:
    """How many of the names the whole pattern takes up, in every way that it matches."""
    if not parts:
        yield 0
        return
    if parts[0] == "**":
        for skipped in range(len(names) + 1):
            yield from (skipped + depth for depth in _depths(names[skipped:], parts[1:]))
    elif names and fnmatchcase(names[0], parts[0]):
        yield from (1 + depth for depth in _depths(names[1:], parts[1:]))


def is_inside(url: str, source: str) -> bool:
    """Whether a place lies in a source, by their names."""
    scheme, authority, path = split_url(url)
    other_scheme, other_authority, other = split_url(source)
    return (scheme, authority) == (other_scheme, other_authority) and PurePosixPath(path or "/").is_relative_to(other or "/")
