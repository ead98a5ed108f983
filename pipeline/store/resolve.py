"""What a user's source names: a file or a folder, on this machine or below a URL, or what a pattern matches below a folder."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from pipeline.errors import ConfigError, FolderError
from pipeline.store.base import Store
from pipeline.store.open import join_url, open_store, split_url
from pipeline.store.os_errors import translated
from pipeline.store.settings import StoreConfig

_MAGIC = re.compile(r"[*?[]")
# By their first character these are left alone wherever they are found: what somebody has hidden, or has not finished.
HIDDEN = (".", "_")


@dataclass(frozen=True, slots=True)
class ResolvedSource:
    """A file or folder that a source names, or a folder and the pattern to match below it.

    Attributes:
        scheme: Scheme of the file system, in lower case; "" on this machine.
        authority: Its authority; "" on this machine.
        path: Absolute path in it; with a pattern, of the folder above the first wildcard.
        folder: Whether `path` is a folder; True with a pattern.
        pattern: Parts of the pattern, matched against paths below the folder; empty if there is none.
    """

    scheme: str
    authority: str
    path: PurePosixPath
    folder: bool
    pattern: tuple[str, ...] = ()


def resolve_sources(source: str, config: StoreConfig | None) -> ResolvedSource:
    """Find out what a source names: a file, a folder or a pattern.

    A name that exists is never taken for a pattern, whatever characters it contains.

    Args:
        source: Path or URL, as the user has written it.
        config: How remote stores are reached.

    Returns:
        What it names. Whether a pattern matches anything is not known yet.

    Raises:
        ConfigError: The source is standard input (`-`), or a URL that no store serves; or nothing bears the name, and it has no
            wildcard; or what bears it is a broken link, or neither a regular file nor a folder.
        StoreError: The file system cannot be asked.
    """
    if source == "-":
        raise ConfigError("-: standard input is read by `textmill tag` alone")
    scheme, authority, path = split_url(source)
    store = None if not scheme else open_store(join_url(scheme, authority, ""), config)
    kind = _local_kind(source, path) if store is None else _kind(store, path.lstrip("/"))
    if kind is not None:
        return ResolvedSource(scheme, authority, PurePosixPath(path or "/"), kind)
    parts = PurePosixPath(path or "/").parts
    fixed = next((i for i, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
    if fixed == len(parts):
        raise ConfigError(f"{source}: no such file or folder")
    return ResolvedSource(scheme, authority, PurePosixPath(*parts[:fixed]), True, parts[fixed:])


def _local_kind(source: str, path: str) -> bool | None:
    """Whether it is a folder; None if there is nothing of that name."""
    with translated(path):
        try:
            mode = os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            if os.path.islink(given := source.removeprefix("file://")):
                raise ConfigError(f"{source}: a link to {os.readlink(given)}, which is not there") from None
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ConfigError(f"{source}: a link that cannot be followed ({error.strerror})") from error
            raise
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise ConfigError(f"{source}: no regular file; of what is none only pipes are read, and only by `textmill tag`")
    return stat.S_ISDIR(mode)


def _kind(store: Store, name: str) -> bool | None:
    """As `_local_kind`. An empty object may stand for a folder."""
    try:
        found = store.stat(name)
    except FolderError:
        return True
    if found is None:
        return None
    return not found.size and next(iter(store.list(name)), None) is not None


def unasked(names: tuple[str, ...], pattern: tuple[str, ...], partly: bool = False) -> Iterator[tuple[str, ...]]:
    """Yield, for every way in which a pattern matches a path, the parts of the path that the user has not asked for by name.

    A pattern matches if it fits the path itself or a folder above it; since `**` stands for any number of folders, it may do so
    in several ways. Not asked for by name are parts that meet a wildcard, unless that part of the pattern begins with one of
    HIDDEN itself, and all parts below what the pattern fits.

    Args:
        names: Parts of the path, below the folder at which the pattern begins.
        pattern: Parts of the pattern; empty fits that folder, and thus all below it.
        partly: Count it as a match, too, if the path is that of a folder in which something may match.

    Yields:
        The parts not asked for, in their order; nothing if the path does not match.
    """
    if not pattern:
        yield names
        return
    if partly and not names:
        yield ()
        return
    if pattern[0] == "**":
        for end in range(len(names) + 1):
            yield from (names[:end] + rest for rest in unasked(names[end:], pattern[1:], partly))
    elif names and fnmatchcase(names[0], pattern[0]):
        asked = not _MAGIC.search(pattern[0]) or pattern[0].startswith(HIDDEN)
        yield from ((() if asked else names[:1]) + rest for rest in unasked(names[1:], pattern[1:], partly))


def is_inside(url: str, source: str) -> bool:
    """Whether a place lies in a source, judged by their names alone.

    Args:
        url: Path or URL of the place.
        source: Path or URL of the source; a place equal to it counts as inside.

    Raises:
        ConfigError: The path of a remote URL contains `..`.
    """
    scheme, authority, path = split_url(url)
    other_scheme, other_authority, other = split_url(source)
    return (scheme, authority) == (other_scheme, other_authority) and PurePosixPath(path or "/").is_relative_to(other or "/")
