"""HDFS as a store: the commit's promises, kept on clients that may lose an answer, hang, or do more than they were told."""

from __future__ import annotations

import builtins
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote
from uuid import uuid4

from pipeline.errors import ConfigError, DeniedError, FolderError, MissingError, StoreError, TakenError, UnavailableError
from pipeline.store.base import BlockLocation, Entry, Listing
from pipeline.store.claim import claimed
from pipeline.store.file_by_file import rename_file_by_file
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


class HdfsStore:
    """A folder of an HDFS; see `pipeline.store.base.Store`. Clients are made when they are needed, and anew when stuck."""

    def __init__(self, url: str, root: str, makers: Sequence[Callable[[], Client]], config: StoreConfig, web_last: bool) -> None:
        """`url` is what a user writes, `root` the path in it; the second maker's client serves where the first one's fails.

        `web_last`: the last client is WebHDFS's, which tells more: whether a file is being written, and where its blocks lie.
        """
        self._url, self._root, self.config = url.rstrip("/"), root.rstrip("/"), config
        self._call = RetryingClient(makers, config)
        self._threads: ThreadPoolExecutor | None = None
        self.lanes = config.read_threads
        self._web = RetryingClient(makers[-1:], config.model_copy(update={"retry_s": 0.0})) if web_last else None
        self._doubtful: set[str] = set()

    @property
    def url(self) -> str:
        return self._url

    def _at(self, path: str) -> str:
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or "." in parts or ("" in parts and path):
            raise StoreError(path, f"leads out of {self.url}")
        return f"{self._root}/{path}" if path else (self._root or "/")

    def list(self, folder: str = "") -> Iterator[Entry]:
        found = self.survey(folder, lambda _: True)
        if error := next(iter(found.failed.values()), None):
            raise error
        yield from (entry for entry in found.files if entry.path != folder)

    def survey(self, path: str, enter: Callable[[str], bool]) -> Listing:
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
        found = self._status(self._at(path))
        if found is not None and found.folder:
            raise FolderError(path, "is a folder")
        return None if found is None else self._entry(found)

    def open_read(self, path: str, span: tuple[int, int] | None = None) -> BinaryIO:
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

    def unfinished(self, entry: Entry) -> bool:
        """Blocks of a file that is being written count only when they are full, so that other sizes need no question."""
        if entry.path not in self._doubtful or self._web is None:
            return False
        at = self._at(entry.path)
        try:
            return self._web(at, lambda client: bool(client.unfinished(at)))  # type: ignore[attr-defined]
        except (UnavailableError, ConfigError) as error:
            log.warning("WebHDFS cannot be asked whether files are still being written: %s", error)
            self._web = None
            return False

    def places(self, path: str, size: int) -> Sequence[BlockLocation]:
        """Asked of WebHDFS, as native does not tell."""
        at = self._at(path)
        return self._web(at, lambda client: client.places(at, size)) if self._web is not None else []  # type: ignore[attr-defined]

    @contextmanager
    def create_exclusive(self, path: str) -> Iterator[BinaryIO]:
        """The bytes wait on this machine; at the end they are sent under a name of their own and renamed. A mark shows until
        then that somebody is at it."""
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
        self._rename(self._at(source), self._at(target))

    def _rename(self, source: str, target: str) -> None:
        """Rename a file. Before each try and behind it the target is looked at: an answer may be lost, another try's call be
        carried out late, and a file that is renamed to a folder's name goes into the folder."""
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

    def local_path(self, path: str) -> Path | None:
        return None

    def rename_folder(self, source: str, target: str, last: str) -> None:
        rename_file_by_file(self, source, target, last)

    def exchange(self, one: str, other: str) -> None:
        """Three renames of folders. After the first there is no `other` for a moment, and `settle` puts it back."""
        before = self._at(_aside(other))
        self._move(self._at(other), before)
        self._move(self._at(one), self._at(other))
        self._move(before, self._at(one))
        self._remove_empty(self._at(BEFORE))

    def _remove_empty(self, at: str) -> None:
        with suppress(StoreError):
            self._call(at, lambda client: client.delete(at, recursive=False))

    def settle(self, one: str, other: str) -> None:
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
        return None

    def delete(self, path: str) -> None:
        at = self._at(path)
        self._call(at, lambda client: client.delete(at))

    def claim(self, path: str) -> AbstractContextManager[Callable[[], None]]:
        return claimed(self, path, self.config.lease_s)
