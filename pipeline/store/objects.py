"""Object stores (S3 and what else fsspec serves): files appear by one PUT that is refused where the name is taken."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import BinaryIO, TypeVar
from urllib.parse import quote

from pipeline.errors import ConfigError, FolderError, MissingError, StoreError, TakenError, UnavailableError
from pipeline.store.base import BlockLocation, Entry, Listing
from pipeline.store.claim import claimed
from pipeline.store.file_by_file import FileByFile
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


class ObjectStore(FileByFile):
    """Objects below a prefix of a bucket; a structural `pipeline.store.base.Store`. Folders are nothing but parts of names.

    Only stores whose PUT is atomic and can be told not to overwrite (ATOMIC) can be written; the others are read only, and
    whatever would write raises ConfigError there.

    Args:
        url: The root, as a user writes it.
        scheme: Its scheme, in lower case.
        root: Bucket and prefix, as fsspec writes them.
        config: How the store is reached.
    """

    def __init__(self, url: str, scheme: str, root: str, config: StoreConfig) -> None:
        self._url, self._scheme, self._root, self.config = url.rstrip("/"), scheme, root.rstrip("/"), config
        self._calls = RetryingClient([lambda: FsspecClient(scheme, url, config)], config)  # type: ignore[list-item,return-value]
        self._threads: ThreadPoolExecutor | None = None
        self.read_concurrency = config.read_threads

    @property
    def url(self) -> str:
        """The root, as a user would write it."""
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
        """List all objects below a folder, at any depth, sorted by path.

        Args:
            folder: Path of the folder; "" is the root.

        Yields:
            The objects; none if there is no such folder.
        """
        yield from (entry for entry in self.survey(folder, lambda _: True).files if entry.path != folder)

    def survey(self, path: str, enter: Callable[[str], bool]) -> Listing:
        """List what lies at or below a path, as an input of a run.

        Names with `.` or `..` between slashes are noted in `odd`: HTTP clients resolve these, so that requests would ask for
        other names.

        Args:
            path: Path of an object or a folder; "" is the root.
            enter: Not asked, as one listing gives all names below a prefix.

        Returns:
            The objects, and the odd names.
        """
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
        """Look at an object.

        Args:
            path: Path of the object.

        Returns:
            The object, or None if there is none.

        Raises:
            FolderError: The path is that of a folder.
        """
        at = self._at(path)
        found = self._call(at, lambda client: client.status(at))
        if found is not None and found.folder:
            raise FolderError(path, "is a folder")
        return None if found is None else self._entry(found)

    def open_read(self, path: str, span: tuple[int, int] | None = None) -> BinaryIO:
        """Open an object to read its bytes; ranges of it are fetched ahead by `read_threads` threads.

        Args:
            path: Path of the object.
            span: Byte range (start, end) that will be read in sequence.

        Returns:
            A seekable, buffered stream.

        Raises:
            MissingError: There is no such object.
        """
        at, entry = self._at(path), self.stat(path)
        if entry is None:
            raise MissingError(path, "is not there")

        def ranged(start: int, length: int) -> bytes:
            return self._call(at, lambda client: client.reader(at)(start, length), length)

        self._threads = self._threads or ThreadPoolExecutor(self.config.read_threads, "textmill-ranges")
        return buffered(ranged, entry.size, span, self._threads, self.config.read_threads)

    def is_being_written(self, entry: Entry) -> bool:
        """Whether somebody is still writing an object: never, as an object only appears when it is whole.

        Args:
            entry: The object.
        """
        return False  # an object is there only when it is whole

    def block_locations(self, path: str, size: int) -> Sequence[BlockLocation]:
        """Tell which machines hold the parts of an object: object stores do not tell.

        Args:
            path: Path of the object.
            size: Its size in bytes.

        Returns:
            An empty list.
        """
        return []

    @contextmanager
    def create_exclusive(self, path: str) -> Iterator[BinaryIO]:
        """Create an object that was not there, by one conditional PUT.

        The bytes wait on this machine until the body ends. Until then an empty object `PATH.mark` shows that somebody is
        writing.

        Args:
            path: Path of the new object.

        Yields:
            The stream to write to.

        Raises:
            TakenError: The name is taken, either at the beginning or at the end.
            NoSpaceError: This machine cannot keep the bytes.
            StoreError: There are more than LARGEST_PUT bytes.
            ConfigError: The store is read only.
        """
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
        """Give an object another name, by copying it through this machine and removing the old one.

        If the process is killed before the last step, the object has both names.

        Args:
            source: Path of the object.
            target: Its new path.

        Raises:
            TakenError: The new name is taken.
            MissingError: There is no object `source`.
            FolderError: The new name is that of a folder.
            ConfigError: The store is read only.
        """
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

    def swap_folders(self, one: str, other: str) -> None:
        """Swap the names of two folders, object by object.

        What has to be done is written down first, so that `recover_swap` can finish a swap that was killed. Until it is done,
        readers may see a part of one generation, but never parts of two.

        Args:
            one: Path of the folder with the new generation.
            other: Path of the folder that readers look at.

        Raises:
            ConfigError: The store is read only.
        """
        names = {"new": self._names(one), "old": self._names(other)}
        self._write_over(_list_of(other), json.dumps(names).encode())
        self.recover_swap(one, other)

    def _names(self, folder: str) -> list[str]:  # type: ignore[valid-type]
        return [entry.path[len(folder) + 1 :] for entry in self.list(folder)]

    def recover_swap(self, one: str, other: str) -> None:
        """Finish an exchange of two folders during which the process was killed; nothing happens if there was none.

        Args:
            one: As it was given to `swap_folders`.
            other: As it was given to `swap_folders`.
        """
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
        """Tell how much more can be written: object stores do not tell.

        Returns:
            None.
        """
        return None

    def delete(self, path: str) -> None:
        """Remove an object, and all objects below its name; nothing happens if there are none.

        Args:
            path: Path of the object or folder.

        Raises:
            ConfigError: The store is read only.
        """
        at = self._writing(path)

        def gone(client: FsspecClient) -> None:
            found = [one.path for one in client.files(at) if one.path == at or one.path.startswith(f"{at}/")]
            if found:
                client.remove(found)

        self._call(at, gone, listing=True)

    def claim(self, path: str) -> AbstractContextManager[Callable[[], None]]:
        """Hold the claim in a folder for this process alone; see `pipeline.store.claim`.

        Args:
            path: Path of the folder that holds the claim's files.

        Returns:
            A context manager that gives a function, which raises LostClaimError once the claim is no longer held. Entering it
            raises ClaimedError if another process holds the claim.

        Raises:
            ConfigError: The store is read only.
        """
        self._writing(path)
        return claimed(self, path, self.config.lease_s)
