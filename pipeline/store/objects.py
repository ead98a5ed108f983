"""Object stores (S3 and what else fsspec serves): files appear by one PUT that is refused where the name is taken."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import quote

from pipeline.errors import ConfigError, FolderError, MissingError, StoreError, TakenError, UnavailableError
from pipeline.store.base import BlockLocation, Entry, Listing
from pipeline.store.claim import claimed
from pipeline.store.file_by_file import rename_file_by_file
from pipeline.store.fsspec_client import FsspecClient
from pipeline.store.os_errors import error_of_system
from pipeline.store.ranges import buffered
from pipeline.store.retrying_client import RetryingClient, Status
from pipeline.store.settings import StoreConfig
from pipeline.store.spool import Spool

T = TypeVar("T")
# Whose PUT is one step, and can be told not to overwrite (fsspec: mode="create"). Others are read only.
ATOMIC = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}
# One PUT takes no more.
LARGEST_PUT = 5 << 30
BEFORE = "_before"
_DOTS = frozenset({".", ".."})


def _list_of(folder: str) -> str:
    """Where it is written what an exchange has to do."""
    return f"{BEFORE}/{quote(folder, safe='')}.json"


class ObjectStore:
    """Objects below a prefix; see `pipeline.store.base.Store`. Folders are nothing but parts of names."""

    def __init__(self, url: str, scheme: str, root: str, config: StoreConfig) -> None:
        """`root` is bucket and prefix, as the file system writes them."""
        self._url, self._scheme, self._root, self.config = url.rstrip("/"), scheme, root.rstrip("/"), config
        self._calls = RetryingClient([lambda: FsspecClient(scheme, url, config)], config)  # type: ignore[list-item,return-value]
        self._threads: ThreadPoolExecutor | None = None
        self.lanes = config.read_threads

    @property
    def url(self) -> str:
        return self._url

    def _call(self, path: str, call: Callable[[FsspecClient], T], bytes_: int = 0, listing: bool = False) -> T:
        return self._calls(path, call, bytes_, listing)  # type: ignore[arg-type]

    def _at(self, path: str) -> str:
        if not _DOTS.isdisjoint(path.split("/")):  # doubled slashes, and one in front, are a part of the name
            raise StoreError(path, f"leads out of {self.url}")
        return f"{self._root}/{path}" if path else self._root

    def _writing(self, path: str) -> str:
        if self._scheme not in ATOMIC:
            text = f"{self._scheme}:// is for reading: files would not appear there in one step; name another output"
            raise ConfigError(f"{self.url}/{path}: {text}")
        return self._at(path)

    def list(self, folder: str = "") -> Iterator[Entry]:
        yield from (entry for entry in self.survey(folder, lambda _: True).files if entry.path != folder)

    def survey(self, path: str, enter: Callable[[str], bool]) -> Listing:
        """Names with . or .. between slashes are told as odd: on their way to the store they would become others."""
        top, found = self._at(path), Listing()
        for one in self._call(top, lambda client: client.files(top), listing=True):
            if one.folder or not (one.path == top or one.path.startswith(f"{top}/")):
                continue
            entry = self._entry(one)
            if _DOTS.isdisjoint(entry.path.split("/")):
                found.files.append(entry)
            else:
                found.odd[entry.path] = "name with . or .. between slashes"
        found.files.sort()
        return found

    def _entry(self, one: Status) -> Entry:
        return Entry(one.path[len(self._root) + 1 :], one.size, one.modified_ns)

    def stat(self, path: str) -> Entry | None:
        at = self._at(path)
        found = self._call(at, lambda client: client.status(at))
        if found is not None and found.folder:
            raise FolderError(path, "is a folder")
        return None if found is None else self._entry(found)

    def open_read(self, path: str, span: tuple[int, int] | None = None) -> BinaryIO:
        at, entry = self._at(path), self.stat(path)
        if entry is None:
            raise MissingError(path, "is not there")

        def ranged(start: int, length: int) -> bytes:
            return self._call(at, lambda client: client.reader(at)(start, length), length)

        self._threads = self._threads or ThreadPoolExecutor(self.config.read_threads, "textmill-ranges")
        return buffered(ranged, entry.size, span, self._threads, self.config.read_threads)

    def unfinished(self, entry: Entry) -> bool:
        return False  # an object is there only when it is whole

    def places(self, path: str, size: int) -> Sequence[BlockLocation]:
        return []

    @contextmanager
    def create_exclusive(self, path: str) -> Iterator[BinaryIO]:
        """The bytes wait on this machine and are sent by one PUT; a mark shows until then that somebody is at it."""
        at = self._writing(path)
        if self.stat(path) is not None:
            raise TakenError(path, "the name is taken")
        mark = f"{at}.mark"
        spool = Spool(path)
        try:
            self._call(mark, lambda client: client.put(mark, b"", True))
            yield spool.stream
            spool.finish()
            if spool.size > LARGEST_PUT:
                raise StoreError(path, f"{spool.size:,} bytes do not go into one PUT; make smaller parts with --split-tokens")
            with spool.reading() as stream:
                self._put(at, stream.read())
        except OSError as error:  # of the body
            raise error_of_system(path, error) from error
        finally:
            spool.close()
            with suppress(StoreError):
                self._call(mark, lambda client: client.remove([mark]))

    def _put(self, at: str, data: bytes) -> None:
        """PUT where the name is free. After a try whose answer was lost, what is there decides: the same bytes are ours."""
        tried = False

        def once(client: FsspecClient) -> None:
            nonlocal tried
            try:
                client.put(at, data, False)
            except TakenError:
                if tried and data and (there := client.status(at)) is not None and there.size == len(data):
                    if client.reader(at)(0, len(data)) == data:
                        return
                raise
            except UnavailableError:
                tried = True
                raise

        self._call(at, once, len(data))

    def _write_over(self, path: str, data: bytes) -> None:
        """Write a small object in the place of the one there was."""
        at = self._writing(path)
        self._call(at, lambda client: client.put(at, data, True), len(data))

    def rename_no_overwrite(self, source: str, target: str) -> None:
        """Objects have no other name: the bytes are read and put under it, then the first name is removed."""
        at, start = self._writing(target), self._at(source)
        with suppress(StopIteration):
            next(self.list(target))
            raise FolderError(target, "is a folder")
        entry = self.stat(source)
        if entry is None:
            raise MissingError(source, "is not there")
        data = self._call(start, lambda client: client.reader(start)(0, entry.size) if entry.size else b"", entry.size)
        self._put(at, data)
        self._call(start, lambda client: client.remove([start]))

    def local_path(self, path: str) -> Path | None:
        return None

    def rename_folder(self, source: str, target: str, last: str) -> None:
        rename_file_by_file(self, source, target, last)

    def exchange(self, one: str, other: str) -> None:
        """Object by object. What is to be done is written down first, so that one that was killed is finished by `settle`;
        until then readers may see a part of a generation, never parts of two."""
        names = {"new": self._names(one), "old": self._names(other)}
        self._write_over(_list_of(other), json.dumps(names).encode())
        self.settle(one, other)

    def _names(self, folder: str) -> list[str]:  # type: ignore[valid-type]
        return [entry.path[len(folder) + 1 :] for entry in self.list(folder)]

    def settle(self, one: str, other: str) -> None:
        switch, aside = _list_of(other), f"{BEFORE}/{quote(other, safe='')}"
        if self.stat(switch) is None:
            return
        with self.open_read(switch) as stream:
            todo = json.load(stream)
        for stage, (source, target, names) in enumerate(
            [(other, aside, todo["old"]), (one, other, todo["new"]), (aside, one, todo["old"])]
        ):
            if stage < todo.get("stage", 0):
                continue
            for name in names:
                self._carry(f"{source}/{name}", f"{target}/{name}")
            self._write_over(switch, json.dumps({**todo, "stage": stage + 1}).encode())
        self.delete(switch)

    def _carry(self, source: str, target: str) -> None:
        try:
            self.rename_no_overwrite(source, target)
        except MissingError:
            if self.stat(target) is None:
                raise
        except TakenError:  # copied before, and killed before the first name was removed
            self.delete(source)

    def free_bytes(self) -> int | None:
        return None

    def delete(self, path: str) -> None:
        at = self._writing(path)

        def gone(client: FsspecClient) -> None:
            found = [one.path for one in client.files(at) if one.path == at or one.path.startswith(f"{at}/")]
            if found:
                client.remove(found)

        self._call(at, gone, listing=True)

    def claim(self, path: str) -> AbstractContextManager[Callable[[], None]]:
        self._writing(path)
        return claimed(self, path, self.config.lease_s)
