"""Files of this machine, or of a share that is mounted on it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import (
    ClaimedError,
    DeniedError,
    FolderError,
    MissingError,
    NoSpaceError,
    StoreError,
    TakenError,
    UnavailableError,
)
from pipeline.store.base import Entry, Place
from pipeline.store.settings import StoreConfig

_AT_FDCWD = -100
_NO_REPLACE, _EXCHANGE = 1, 2
_KINDS: dict[int, type[StoreError]] = {
    errno.ENOENT: MissingError,
    errno.ENOTDIR: MissingError,
    errno.EEXIST: TakenError,
    errno.ENOTEMPTY: TakenError,
    errno.EISDIR: FolderError,
    errno.EACCES: DeniedError,
    errno.EPERM: DeniedError,
    errno.EROFS: DeniedError,
    errno.ENOSPC: NoSpaceError,
    errno.EDQUOT: NoSpaceError,
}


class LocalStore:
    """A folder of the local file system; see `pipeline.store.base.Store`."""

    config: StoreConfig | None = None
    lanes = 2

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def url(self) -> str:
        return str(self.root)

    def list(self, folder: str = "") -> Iterator[Entry]:
        top = self._at(folder)
        seen = set[tuple[int, int]]()
        with _translated(folder or self.url):
            yield from sorted(self._walk(top, folder, seen))

    def _walk(self, folder: Path, name: str, seen: set[tuple[int, int]]) -> Iterator[Entry]:
        """Links are followed, each folder once, so that a link to a folder above does not lead in circles."""
        try:
            found = folder.stat()
        except FileNotFoundError:
            return
        if (found.st_dev, found.st_ino) in seen:
            return
        seen.add((found.st_dev, found.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                path = f"{name}/{entry.name}" if name else entry.name
                if entry.is_dir():
                    yield from self._walk(folder / entry.name, path, seen)
                    continue
                try:
                    stat = entry.stat()
                except FileNotFoundError:  # deleted since, or a link to nothing
                    continue
                if entry.is_file():
                    yield Entry(path, stat.st_size, stat.st_mtime_ns)

    def stat(self, path: str) -> Entry | None:
        with _translated(path):
            try:
                found = self._at(path).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        if self._at(path).is_dir():
            raise FolderError(path, "is a folder")
        return Entry(path, found.st_size, found.st_mtime_ns)

    def open_read(self, path: str, span: tuple[int, int] | None = None) -> BinaryIO:
        with _translated(path):
            return self._at(path).open("rb")

    def unfinished(self, entry: Entry) -> bool:
        return False

    def places(self, path: str, size: int) -> Sequence[Place]:
        return []

    @contextmanager
    def create_exclusive(self, path: str) -> Iterator[BinaryIO]:
        target = self._at(path)
        with _translated(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            stream = target.open("xb")
        try:
            with _translated(path), stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def rename_no_overwrite(self, source: str, target: str) -> None:
        into = self._at(target)
        with _translated(target):
            into.parent.mkdir(parents=True, exist_ok=True)
            if into.is_dir():
                raise FolderError(target, "is a folder")
            try:
                _renameat2(self._at(source), into, _NO_REPLACE)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOSYS):
                    raise
                # A file system without that call: a link fails too where the name is taken.
                os.link(self._at(source), into)
                self._at(source).unlink()
            _sync(into.parent)

    def exchange(self, one: str, other: str) -> None:
        with _translated(one):
            _renameat2(self._at(one), self._at(other), _EXCHANGE)
            _sync(self._at(one).parent)

    def settle(self, one: str, other: str) -> None:
        """An exchange is one step here."""

    def free_bytes(self) -> int | None:
        with _translated(self.url):
            return shutil.disk_usage(self.root).free

    def delete(self, path: str) -> None:
        target = self._at(path)
        with _translated(path):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

    @contextmanager
    def claim(self, path: str) -> Iterator[Callable[[], None]]:
        target = self._at(path)
        with _translated(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            held = _lock(target)
        try:
            yield lambda: None
        finally:
            target.unlink(missing_ok=True)  # while it is still locked: who waits for this file finds another in its place
            os.close(held)

    def _at(self, path: str) -> Path:
        if path.startswith("/") or ".." in path.split("/"):
            raise StoreError(path, f"leads out of {self.root}")
        return self.root / path


def _lock(path: Path) -> int:
    while True:
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(held, 200, 0).decode("utf-8", "replace").strip() or "another process"
            os.close(held)
            raise ClaimedError(f"{path.parent} is being written by {owner}; wait until it has ended") from None
        try:
            same = os.path.samestat(os.fstat(held), path.stat())
        except FileNotFoundError:
            same = False
        if same:
            os.ftruncate(held, 0)
            os.pwrite(held, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
            return held
        os.close(held)  # its last owner removed it between our two calls


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise kind_of(error.errno)(path, error.strerror or type(error).__name__) from error


def kind_of(number: int | None) -> type[StoreError]:
    """The error for one of the system's error numbers."""
    return _KINDS.get(number or 0, UnavailableError)


def _renameat2(source: Path, target: Path, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def _sync(folder: Path) -> None:
    """Let the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
