"""HDFS as a store: the commit's promises, kept on clients that may lose an answer, hang, or do more than they were told."""

from __future__ import annotations

import builtins
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from operator import attrgetter
from typing import BinaryIO
from urllib.parse import quote
from uuid import uuid4

from pipeline.errors import ConfigError, DeniedError, FolderError, MissingError, StoreError, TakenError, UnavailableError
from pipeline.store.base import BlockLocation, Entry, Listing
from pipeline.store.claim import claimed
from pipeline.store.file_by_file import FileByFile
from pipeline.store.os_errors import error_of_system
from pipeline.store.ranges import buffered
from pipeline.store.retrying_client import Client, Ranged, RetryingClient, Status
from pipeline.store.settings import StoreConfig
from pipeline.store.spool import Spool

log = logging.getLogger("textmill")
# Where a folder waits while two of them change names.
BEFORE = "_before"


def _aside(folder: str) -> str:
    """Where the old folder is while two change names."""
    return f"{BEFORE}/{quote(folder, safe='')}"


class HdfsStore(FileByFile):
    """A folder of an HDFS; a structural `pipeline.store.base.Store`.

    Clients are made when they are first needed, and anew when one is stuck.

    Args:
        url: The root, as a user writes it.
        root: Its absolute path in the file system.
        makers: Make the clients, the preferred one first; the second serves where the first fails.
        config: How the file system is reached.
        web_last: Whether the last maker's client is a WebClient, which alone tells whether a file is still being written, and
            where its blocks lie.
    """

    def __init__(self, url: str, root: str, makers: Sequence[Callable[[], Client]], config: StoreConfig, web_last: bool) -> None:
        self._url, self._root, self.config = url.rstrip("/"), root.rstrip("/"), config
        self._call = RetryingClient(makers, config)
        self._threads: ThreadPoolExecutor | None = None
        self.read_concurrency = config.read_threads
        self._web = RetryingClient(makers[-1:], config.model_copy(update={"retry_s": 0.0})) if web_last else None
        self._doubtful: set[str] = set()

    @property
    def url(self) -> str:
        """The root, as a user would write it."""
        return self._url

    def _at(self, path: str) -> str:
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or "." in parts or ("" in parts and path):
            raise StoreError(path, f"leads out of {self.url}")
        return f"{self._root}/{path}" if path else (self._root or "/")

    def list(self, folder: str = "") -> Iterator[Entry]:
        """List all files below a folder, at any depth, sorted by path.

        Args:
            folder: Path of the folder; "" is the root.

        Yields:
            The files; none if there is no such folder.

        Raises:
            DeniedError: A folder below it may not be listed.
        """
        found = self.survey(folder, lambda _: True)
        if error := next(iter(found.failed.values()), None):
            raise error
        yield from (entry for entry in found.files if entry.path != folder)

    def survey(self, path: str, enter: Callable[[str], bool]) -> Listing:
        """List what lies at or below a path, as an input of a run, one folder after the other.

        Args:
            path: Path of a file or a folder; "" is the root.
            enter: Called with the path of a folder; says whether to look into it.

        Returns:
            The files, and in `failed` the folders that may not be listed.
        """
        found = Listing()
        waiting = [self._at(path)]
        while waiting:
            top = waiting.pop()
            try:
                below = self._call(top, lambda client, top=top: client.children(top), listing=True)  # type: ignore[misc]
            except DeniedError as error:
                found.failed[self._below(top)] = error
                continue
            for one in below:
                if not one.folder:
                    found.files.append(self._entry(one))
                elif enter(self._below(one.path)):
                    waiting.append(one.path)
        found.files.sort(key=attrgetter("path"))  # each path is there once
        return found

    def _below(self, at: str) -> str:
        return at[len(self._root) :].lstrip("/")

    def _entry(self, one: Status) -> Entry:
        if one.size and one.block_bytes and not one.size % one.block_bytes:
            self._doubtful.add(self._below(one.path))
        return Entry(self._below(one.path), one.size, one.modified_ns)

    def _status(self, at: str) -> Status | None:
        return self._call(at, lambda client: client.status(at))

    def stat(self, path: str) -> Entry | None:
        """Look at a file.

        Args:
            path: Path of the file.

        Returns:
            The file, or None if there is none.

        Raises:
            FolderError: The path is that of a folder.
        """
        found = self._status(self._at(path))
        if found is not None and found.folder:
            raise FolderError(path, "is a folder")
        return None if found is None else self._entry(found)

    def open_read(self, path: str, span: tuple[int, int] | None = None) -> BinaryIO:
        """Open a file to read its bytes; ranges of it are fetched ahead by `read_threads` threads.

        Args:
            path: Path of the file.
            span: Byte range (start, end) that will be read in sequence.

        Returns:
            A seekable, buffered stream.

        Raises:
            MissingError: There is no such file.
        """
        at = self._at(path)
        entry = self.stat(path)
        if entry is None:
            raise MissingError(path, "is not there")
        opened: tuple[Client, Ranged] | None = None

        def once(client: Client, start: int, length: int) -> bytes:
            nonlocal opened
            mine = opened
            raw = getattr(client, "raw", client)
            if mine is None or mine[0] is not raw:
                mine = opened = raw, client.reader(at)
            try:
                return mine[1](start, length)
            except UnavailableError:
                opened = None  # where its blocks are may have changed
                raise

        def ranged(start: int, length: int) -> bytes:
            return self._call(at, lambda client: once(client, start, length), length)

        self._threads = self._threads or ThreadPoolExecutor(self.config.read_threads, "textmill-ranges")
        return buffered(ranged, entry.size, span, self._threads, self.config.read_threads)

    def is_being_written(self, entry: Entry) -> bool:
        """Tell whether somebody is still writing a file; WebHDFS is asked, as the native client does not tell.

        A block of a file that is being written counts only when it is full. So only a file whose size is a multiple of its block
        size, and not 0, needs a request.

        Args:
            entry: The file, as this store has listed it.

        Returns:
            True if it is being written; False if it is not, or WebHDFS cannot be asked.
        """
        if entry.path not in self._doubtful or self._web is None:
            return False
        at = self._at(entry.path)
        try:
            return self._web(at, lambda client: bool(client.is_being_written(at)))  # type: ignore[attr-defined]
        except (UnavailableError, ConfigError) as error:
            log.warning("WebHDFS cannot be asked whether files are still being written: %s", error)
            self._web = None
            return False

    def block_locations(self, path: str, size: int) -> Sequence[BlockLocation]:
        """Ask WebHDFS which machines hold the blocks of a file, as the native client does not tell.

        Args:
            path: Path of the file.
            size: Its size in bytes.

        Returns:
            The location of each block; empty without a WebHDFS client.
        """
        at = self._at(path)
        return self._web(at, lambda client: client.block_locations(at, size)) if self._web is not None else []  # type: ignore[attr-defined]

    @contextmanager
    def create_exclusive(self, path: str) -> Iterator[BinaryIO]:
        """Create a file that was not there, by writing it under another name and renaming it.

        The bytes wait on this machine until the body ends. Until then an empty file beside it, whose name is that of the file
        and a random suffix, shows that somebody is writing.

        Args:
            path: Path of the new file; missing folders above it are made.

        Yields:
            The stream to write to.

        Raises:
            TakenError: The name is taken, either at the beginning or at the end.
            FolderError: The name is that of a folder.
            NoSpaceError: This machine or the file system cannot keep the bytes.
        """
        at = self._at(path)
        if self.stat(path) is not None:
            raise TakenError(path, "the name is taken")
        folder, _, name = at.rpartition("/")
        # Its name says what is being written, where that leaves it short enough.
        mark = f"{folder}/{name if len(name.encode()) <= 200 else ''}.{uuid4().hex}"
        spool = Spool(path)
        tries: builtins.list[str] = []
        try:
            self._send(mark, None)
            yield spool.stream
            spool.finish()
            self._rename(self._send(mark, spool, tries), at)
            tries.pop()
        except OSError as error:  # of the body
            raise error_of_system(path, error) from error
        finally:
            spool.close()
            for name in (*tries, mark):
                self._remove(name)

    def _send(self, at: str, spool: Spool | None, tries: builtins.list[str] | None = None) -> str:
        """Write a file and look at it. Every try has its own name: a call that was given up may still be carried out."""
        size = spool.size if spool is not None else 0

        def sent(client: Client) -> str:
            name = at if spool is None else f"{at}.{uuid4().hex[:8]}"
            if tries is not None:
                tries.append(name)
            try:
                client.create(name, spool.reading() if spool is not None else io.BytesIO(), overwrite=False)
            except TakenError:
                if spool is not None:  # a mark is ours, whichever try has made it
                    raise
            found = client.status(name)
            if found is None or found.size != size:
                raise UnavailableError(name, f"holds {found and found.size} bytes, {size:,} were written; try again")
            return name

        return self._call(at, sent, size)

    def _remove(self, at: str) -> None:
        with suppress(StoreError):
            self._call(at, lambda client: client.delete(at))

    def rename_no_overwrite(self, source: str, target: str) -> None:
        """Give a file another name in one step.

        Args:
            source: Path of the file.
            target: Its new path; missing folders above it are made.

        Raises:
            TakenError: The new name is taken.
            MissingError: There is no file `source`.
            FolderError: The new name is that of a folder.
        """
        self._rename(self._at(source), self._at(target))

    def _rename(self, source: str, target: str) -> None:
        """Rename a file, looking at the target before each try and after it.

        An answer may be lost, another try's call be carried out late, and a file that is renamed to a folder's name goes into
        the folder.
        """
        tried = False

        def renamed(client: Client) -> None:
            nonlocal tried
            there, mine = client.status(target), client.status(source)
            if there is not None and there.folder:
                raise FolderError(target, "is a folder")
            if there is not None:
                if tried and mine is None:
                    return  # an earlier try has done it, and only its answer was lost
                raise TakenError(target, "the name is taken")
            if mine is None:
                raise MissingError(source, "is not there")
            if not tried:
                client.make_folder(target.rpartition("/")[0] or "/")
            tried = True
            try:
                client.rename(source, target)
            except (TakenError, MissingError) as error:
                if client.status(source) is None and client.status(target) is not None:
                    return  # the request was sent twice, and the first one did it
                raise error
            found = client.status(target)
            if found is not None and found.folder:
                inside = f"{target}/{source.rpartition('/')[2]}"
                client.rename(inside, source)
                raise FolderError(target, "is a folder")

        self._call(target, renamed)

    def swap_folders(self, one: str, other: str) -> None:
        """Swap the names of two folders, by three renames.

        After the first one there is no `other` for a moment, and `recover_swap` puts it back if the process is killed then.

        Args:
            one: Path of the one folder.
            other: Path of the other folder: the one that readers look at.

        Raises:
            MissingError: One of the folders is not there.
            TakenError: An exchange that was killed is not finished.
        """
        before = self._at(_aside(other))
        self._move(self._at(other), before)
        self._move(self._at(one), self._at(other))
        self._move(before, self._at(one))
        self._remove_empty(self._at(BEFORE))

    def _remove_empty(self, at: str) -> None:
        with suppress(StoreError):
            self._call(at, lambda client: client.delete(at, recursive=False))

    def recover_swap(self, one: str, other: str) -> None:
        """Finish or undo an exchange of two folders during which the process was killed; nothing happens if there was none.

        It is undone if only its first rename was done, else finished.

        Args:
            one: As it was given to `swap_folders`.
            other: As it was given to `swap_folders`.
        """
        before = self._at(_aside(other))
        if self._status(before) is None:
            return
        # Taken back where it had not come further than one step, else finished.
        self._move(before, self._at(other if self._status(self._at(other)) is None else one))
        self._remove_empty(self._at(BEFORE))

    def _move(self, source: str, target: str) -> None:
        """Rename a folder. Only with the claim held: nobody else makes these names."""

        def moved(client: Client) -> None:
            if client.status(source) is None:
                if client.status(target) is not None:
                    return
                raise MissingError(source, "is not there")
            if client.status(target) is not None:
                raise TakenError(target, "the name is taken")
            client.make_folder(target.rpartition("/")[0] or "/")
            client.rename(source, target)

        self._call(target, moved)

    def free_bytes(self) -> int | None:
        """Tell how much more can be written: it is not asked of HDFS.

        Returns:
            None.
        """
        return None

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it; nothing happens if there is neither.

        Args:
            path: Path of the file or folder.
        """
        at = self._at(path)
        self._call(at, lambda client: client.delete(at))

    def claim(self, path: str) -> AbstractContextManager[Callable[[], None]]:
        """Hold the claim in a folder for this process alone; see `pipeline.store.claim`.

        Args:
            path: Path of the folder that holds the claim's files.

        Returns:
            A context manager that gives a function, which raises LostClaimError once the claim is no longer held. Entering it
            raises ClaimedError if another process holds the claim.
        """
        return claimed(self, path, self.config.lease_s)
