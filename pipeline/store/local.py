"""Files of this machine, or of a share that is mounted on it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import quote

from pipeline.errors import ClaimedError, FolderError, MissingError, StoreError, TakenError
from pipeline.store.base import BlockLocation, Entry, Listing
from pipeline.store.claim import claimed
from pipeline.store.os_errors import error_of_system, translated
from pipeline.store.settings import LEASE_S, StoreConfig
from pipeline.store.walk import walk

_AT_FDCWD = -100
_NO_REPLACE, _EXCHANGE = 1, 2
# What a file system says that does not know a flag of renameat2: NFS, FUSE, old kernels.
_UNKNOWN = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
# Where a folder waits while two of them change names in steps.
BEFORE = "_before"
_BUFFER = 128 << 10


class _File(io.FileIO):
    """A file that is read, whose errors are ours: what may pass is no damage of whatever the file holds."""

    def __init__(self, at: Path, path: str) -> None:
        super().__init__(at)
        self._path = path

    def readinto(self, buffer: Any) -> int:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise error_of_system(self._path, error) from error

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            raise error_of_system(self._path, error) from error


class LocalStore:
    """A folder of this machine, or of a mounted share; a structural `pipeline.store.base.Store`.

    Args:
        root: The folder.
        lease_s: Seconds for which a claim holds without a renewal.
    """

    config: StoreConfig | None = None
    read_concurrency = 2

    def __init__(self, root: Path, lease_s: float = LEASE_S) -> None:
        self.root, self._lease_s = root, lease_s

    @property
    def url(self) -> str:
        """Path of the root."""
        return str(self.root)

    def list(self, folder: str = "") -> Iterator[Entry]:
        """List all files below a folder, at any depth, sorted by path; symbolic links are followed.

        Args:
            folder: Path of the folder; "" is the root.

        Yields:
            The files; none if there is no such folder.

        Raises:
            StoreError: A folder or file below it cannot be looked at.
        """
        found = walk(str(self._at(folder)), folder, lambda _: True)
        if error := next(iter(found.failed.values()), None):
            raise error
        yield from (entry for entry in found.files if entry.path != folder)

    def survey(self, path: str, enter: Callable[[str], bool]) -> Listing:
        """List what lies at or below a path, as an input of a run; see `pipeline.store.walk.walk`.

        Args:
            path: Path of a file or a folder; "" is the root.
            enter: Called with the path of a folder; says whether to look into it.

        Returns:
            All that was found; what cannot be looked at is in `failed`.
        """
        return walk(str(self._at(path)), path, enter)

    def stat(self, path: str) -> Entry | None:
        """Look at a file.

        Args:
            path: Path of the file.

        Returns:
            The file, or None if there is none.

        Raises:
            FolderError: The path is that of a folder.
        """
        with translated(path):
            try:
                found = self._at(path).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        if self._at(path).is_dir():
            raise FolderError(path, "is a folder")
        return Entry(path, found.st_size, found.st_mtime_ns)

    def open_read(self, path: str, span: tuple[int, int] | None = None) -> BinaryIO:
        """Open a file to read its bytes.

        Args:
            path: Path of the file.
            span: Not used: the operating system reads ahead.

        Returns:
            A seekable, buffered stream, whose reads raise StoreError.

        Raises:
            MissingError: There is no such file.
        """
        with translated(path):
            return cast(BinaryIO, io.BufferedReader(_File(self._at(path), path), _BUFFER))

    def is_being_written(self, entry: Entry) -> bool:
        """Whether somebody is still writing a file: the file system does not tell, so that the answer is always False.

        Args:
            entry: The file.
        """
        return False

    def block_locations(self, path: str, size: int) -> Sequence[BlockLocation]:
        """Tell which machines hold the parts of a file: a local file system does not tell.

        Args:
            path: Path of the file.
            size: Its size in bytes.

        Returns:
            An empty list.
        """
        return []

    @contextmanager
    def create_exclusive(self, path: str) -> Iterator[BinaryIO]:
        """Create a file that was not there, and sync it to disk when the body ends without an exception; else remove it.

        Args:
            path: Path of the new file; missing folders above it are made.

        Yields:
            The stream to write to.

        Raises:
            TakenError: The name is taken.
        """
        target = self._at(path)
        with translated(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            stream = target.open("xb")
        try:
            with translated(path), stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def rename_no_overwrite(self, source: str, target: str) -> None:
        """Give a file or folder another name in one step, and sync the folder of the new name.

        Where the file system has no such rename (NFS, FUSE), a file is linked to the new name before the old one is removed.

        Args:
            source: Path of the file or folder.
            target: Its new path; missing folders above it are made.

        Raises:
            TakenError: The new name is taken.
            MissingError: There is no `source`.
            FolderError: The new name is that of a folder.
        """
        start, into = self._at(source), self._at(target)
        with translated(target):
            into.parent.mkdir(parents=True, exist_ok=True)
            if into.is_dir():
                raise FolderError(target, "is a folder")
            try:
                _renameat2(start, into, _NO_REPLACE)
            except OSError as error:
                if error.errno not in _UNKNOWN:
                    raise
                if start.is_dir():
                    if os.path.lexists(into):
                        raise TakenError(target, "the name is taken") from error
                    os.rename(start, into)  # of all that may have come since, this replaces an empty folder and nothing else
                else:
                    os.link(start, into)  # fails too where the name is taken
                    start.unlink()
            _sync(into.parent)

    def local_path(self, path: str) -> Path | None:
        """Say where other software on this machine can read a file itself.

        Args:
            path: Path of the file.

        Returns:
            The path on this machine.
        """
        return self._at(path)

    def rename_folder(self, source: str, target: str, last: str) -> None:
        """Give a folder a name that nothing bears, in one step.

        Args:
            source: Path of the folder.
            target: Its new path.
            last: Not needed here.

        Raises:
            TakenError: There is something else of the target's name.
            FolderError: A folder bears the name of a file.
        """
        self.rename_no_overwrite(source, target)

    def swap_folders(self, one: str, other: str) -> None:
        """Swap the names of two folders, in one step where the file system can do that.

        Else (NFS) by three renames: after the first there is no `other` for a moment, and `recover_swap` puts it back.

        Args:
            one: Path of the one folder.
            other: Path of the other folder: the one that readers look at.

        Raises:
            MissingError: One of the folders is not there.
            TakenError: An exchange that was killed is not finished.
        """
        with translated(one):
            try:
                _renameat2(self._at(one), self._at(other), _EXCHANGE)
            except OSError as error:
                if error.errno not in _UNKNOWN:
                    raise
                before = _aside(other)
                if missing := [folder for folder in (one, other) if not self._at(folder).is_dir()]:
                    raise MissingError(missing[0], "is no folder that is there") from error
                self._move(other, before)
                self._move(one, other)
                self._move(before, one)
                self._end_of_steps()
            _sync(self._at(one).parent)
            _sync(self._at(other).parent)

    def recover_swap(self, one: str, other: str) -> None:
        """Finish or undo an exchange of two folders during which the process was killed; nothing happens if there was none.

        It is undone if only its first rename was done, else finished.

        Args:
            one: As it was given to `swap_folders`.
            other: As it was given to `swap_folders`.
        """
        before = _aside(other)
        with translated(one):
            if self._at(before).is_dir():
                # Taken back where it had not come further than one step, else finished.
                self._move(before, one if self._at(other).is_dir() else other)
            self._end_of_steps()

    def _move(self, source: str, target: str) -> None:
        """Rename a folder. Only with the claim held: nobody else makes these names."""
        into = self._at(target)
        if into.exists():
            raise TakenError(target, "the name is taken")
        into.parent.mkdir(parents=True, exist_ok=True)
        os.rename(self._at(source), into)
        _sync(into.parent)

    def _end_of_steps(self) -> None:
        with suppress(OSError):
            self._at(BEFORE).rmdir()

    def free_bytes(self) -> int | None:
        """Tell how much more can be written.

        Returns:
            Free space of the file system in bytes.
        """
        with translated(self.url):
            return shutil.disk_usage(self.root).free

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it; nothing happens if there is neither.

        Args:
            path: Path of the file or folder; of a symbolic link only the link is removed.
        """
        target = self._at(path)
        with translated(path):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

    @contextmanager
    def claim(self, path: str) -> Iterator[Callable[[], None]]:
        """Hold the claim in a folder for this process alone; see `pipeline.store.claim`.

        Older versions locked a file of this name instead; that file is removed unless one of them holds it.

        Args:
            path: Path of the folder that holds the claim's files.

        Yields:
            A function that raises LostClaimError once the claim is no longer held.

        Raises:
            ClaimedError: Another process holds the claim, perhaps one of an older version.
        """
        with translated(path):
            _remove_lock(self._at(path), f"{self.url}/{path}")
        with claimed(self, path, self._lease_s) as check:
            yield check

    def _at(self, path: str) -> Path:
        if path.startswith("/") or ".." in path.split("/"):
            raise StoreError(path, f"leads out of {self.root}")
        return self.root / path


def _aside(folder: str) -> str:
    return f"{BEFORE}/{quote(folder, safe='')}"


def _remove_lock(path: Path, what: str) -> None:
    """Remove the file that was the claim in older versions, which locked it. Raises ClaimedError if one of those holds it."""
    if not path.is_file():
        return
    with path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = lock.read(200).decode("utf-8", "replace").strip() or "another process"
            raise ClaimedError(f"{what} is held by {who}, an older version; wait until it has ended") from None
        path.unlink(missing_ok=True)  # while it is locked: an older version that waits for it finds another file in its place


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
