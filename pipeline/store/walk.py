"""What lies below a folder of this machine: its files, those that are one file by several names, and what is no file at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from operator import attrgetter

from pipeline.store.base import Entry, Listing
from pipeline.store.os_errors import error_of_system

# A folder in which files vanish while it is listed is listed again, so many times.
_LISTINGS = 10
BROKEN, CIRCLE, AGAIN, NO_FILE = "link to nothing", "link in a circle", "another name of a file that is read", "no regular file"
_GONE = (FileNotFoundError, NotADirectoryError)


def walk(top: str, name: str, enter: Callable[[str], bool]) -> Listing:
    """List what lies at or below a file or folder of this machine.

    Symbolic links to folders are followed after everything that can be reached without them. Each folder is entered once, and
    none by a link that lies below it, so that the walk ends wherever links lead.

    Args:
        top: Path on this machine.
        name: The same path in the store, "" for its root; paths that are found begin with it.
        enter: Called with the path of a folder in the store; says whether to look into it.

    Returns:
        All that was found, empty if `top` is not there. What cannot be looked at is in `failed`, and hides nothing else.
    """
    return _Walk(enter).all(top, name)


class _Walk:
    def __init__(self, enter: Callable[[str], bool]) -> None:
        self._enter = enter
        self._found = Listing()
        self._seen = set[tuple[int, int]]()
        self._links: list[tuple[str, str]] = []  # to folders: where they are, and their paths

    def all(self, top: str, name: str) -> Listing:
        found = self._found
        try:
            about = os.stat(top)
        except OSError as error:
            self._trouble(top, name, error)
            return found
        if not stat.S_ISDIR(about.st_mode):
            self._file(name, about, None)
            return found
        self._tree(top, name, None)
        while self._links:
            self._links.sort(key=lambda link: link[1])
            place, path = self._links.pop(0)
            real = os.path.realpath(place)
            above = os.path.realpath(os.path.dirname(place))
            if above == real or above.startswith(f"{real.rstrip('/')}/"):
                found.odd[path] = CIRCLE
            elif not self._tree(place, path, real):
                found.odd[path] = AGAIN
        found.files.sort(key=attrgetter("path"))
        return found

    def _tree(self, top: str, name: str, real: str | None) -> bool:
        """Walk a folder; False if it is known already. `real`: where it really is, if a link leads to it."""
        waiting, new = [(top, name, real)], False
        while waiting:
            folder, path, target = waiting.pop()
            try:
                about = os.stat(folder)
                if (about.st_dev, about.st_ino) in self._seen:
                    continue
                self._seen.add((about.st_dev, about.st_ino))
                new = True
                waiting += self._folder(folder, path, target)
            except OSError as error:
                new = True
                self._trouble(folder, path, error)
        return new

    def _folder(self, folder: str, name: str, real: str | None) -> Iterator[tuple[str, str, str | None]]:
        """Note what a folder holds; gives the folders in it.

        If files vanish meanwhile, this may show neither such a file nor the one that took its place, as if there was none of the
        two at any time: then it is listed again.
        """
        for left in reversed(range(_LISTINGS)):
            entries, whole = self._entries(folder)
            if whole or not left:
                break
        for entry, about in entries:
            path = f"{name}/{entry.name}" if name else entry.name
            target = None if real is None else f"{real}/{entry.name}"
            if isinstance(about, OSError):
                self._trouble(entry.path, path, about)
            elif not stat.S_ISDIR(about.st_mode):
                self._file(path, about, os.path.realpath(entry.path) if entry.is_symlink() else target)
            elif self._enter(path):
                if entry.is_symlink():
                    self._links.append((entry.path, path))
                else:
                    yield entry.path, path, target

    def _entries(self, folder: str) -> tuple[list[tuple[os.DirEntry[str], os.stat_result | OSError]], bool]:
        found: list[tuple[os.DirEntry[str], os.stat_result | OSError]] = []
        whole = True
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    found.append((entry, entry.stat()))
                except FileNotFoundError as error:
                    if os.path.lexists(entry.path):
                        found.append((entry, error))
                    else:
                        whole = False
                except OSError as error:
                    found.append((entry, error))
        return found, whole

    def _file(self, path: str, about: os.stat_result, real: str | None) -> None:
        if not stat.S_ISREG(about.st_mode):
            self._found.odd[path] = NO_FILE
            return
        self._found.files.append(Entry(path, about.st_size, about.st_mtime_ns))
        if real is not None:
            self._found.real[path] = real
        if about.st_nlink > 1:
            # Not by the number alone: some file systems give one number to several files.
            self._found.linked[path] = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)

    def _trouble(self, place: str, path: str, error: OSError) -> None:
        if error.errno == errno.ELOOP:
            self._found.odd[path] = CIRCLE
        elif not isinstance(error, _GONE):
            self._found.failed[path] = error_of_system(place, error)
        elif os.path.islink(place):
            self._found.odd[path] = BROKEN
