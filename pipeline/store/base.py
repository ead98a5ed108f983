"""The port: what a run asks of a place that holds files. Every backend passes the same contract tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from pipeline.errors import StoreError
from pipeline.store.settings import StoreConfig


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A file of a store.

    Attributes:
        path: Path below the store's root, "/" between parts.
        size: Size in bytes.
        modified_ns: Time of the last modification, nanoseconds since the epoch, by the store's clock.
    """

    path: str
    size: int
    modified_ns: int


@dataclass(slots=True)
class Listing:
    """What lies at or below a path, for whoever reads it: nothing is left out in silence.

    Attributes:
        files: Regular files, sorted by path.
        real: Where a file really is, by the path at which a symbolic link shows it.
        linked: A key that is equal for all names of one file (hard links), by path.
        odd: What cannot be read as a file, by path: what it is instead.
        failed: Folders and files that could not be looked at, by path: the error.
    """

    files: list[Entry] = field(default_factory=list)
    real: dict[str, str] = field(default_factory=dict)
    linked: dict[str, tuple[int, ...]] = field(default_factory=dict)
    odd: dict[str, str] = field(default_factory=dict)
    failed: dict[str, StoreError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BlockLocation:
    """The machines that hold copies of one range of a file's bytes.

    Attributes:
        start: First byte of the range.
        end: Byte behind the range.
        hosts: A tuple of names for each machine: one machine goes by several names.
    """

    start: int
    end: int
    hosts: tuple[tuple[str, ...], ...]


class Store(Protocol):
    """Files below one root.

    Paths are relative to the root, with "/" between parts, and cannot leave it.

    Every method, and every read of a stream, raises a StoreError that names the path: MissingError, TakenError, FolderError,
    DeniedError, NoSpaceError, QuotaError or, for anything that may pass, UnavailableError. A method's `Raises` lists only what
    is special to it.
    """

    @property
    def config(self) -> StoreConfig | None:
        """Settings with which the store was opened; None for files of this machine."""
        ...

    @property
    def read_concurrency(self) -> int:
        """Number of files that are best read at once."""
        ...

    @property
    def url(self) -> str:
        """The root, as a user would write it."""
        ...

    def list(self, folder: str = "") -> Iterator[Entry]:
        """List all files below a folder, at any depth, sorted by path.

        Args:
            folder: Path of the folder; "" is the root.

        Yields:
            The files; none if there is no such folder.
        """
        ...

    def survey(self, path: str, enter: Callable[[str], bool]) -> Listing:
        """List what lies at or below a path, as an input of a run.

        A folder that may not be listed is noted in `failed`, and raises nothing.

        Args:
            path: Path of a file or a folder; "" is the root.
            enter: Called with the path of a folder; says whether to look into it. Only asked by stores that list one folder
                after the other; an object store, which lists all names below a prefix at once, does not ask.

        Returns:
            All that was found, empty if nothing is there.
        """
        ...

    def stat(self, path: str) -> Entry | None:
        """Look at a file.

        Args:
            path: Path of the file.

        Returns:
            The file, or None if there is none.

        Raises:
            FolderError: The path is that of a folder.
        """
        ...

    def open_read(self, path: str, span: tuple[int, int] | None = None) -> BinaryIO:
        """Open a file to read its bytes.

        Args:
            path: Path of the file.
            span: Byte range (start, end) that will be read in sequence, so that it can be fetched ahead; reading elsewhere stays
                possible.

        Returns:
            A seekable, buffered stream; the caller closes it.

        Raises:
            MissingError: There is no such file.
        """
        ...

    def block_locations(self, path: str, size: int) -> Sequence[BlockLocation]:
        """Tell which machines hold the parts of a file.

        Args:
            path: Path of the file.
            size: Its size in bytes.

        Returns:
            The location of each part; empty where the store does not tell.
        """
        ...

    def is_being_written(self, entry: Entry) -> bool:
        """Tell whether somebody is still writing a file, as far as the store can tell.

        Args:
            entry: The file, as this store has listed it.

        Returns:
            True if it is being written; False if it is not, or the store cannot tell.
        """
        ...

    def create_exclusive(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Create a file that was not there, and write to it; missing folders above it are made.

        When the body ends without an exception the bytes are durable before the context is left; with one the file is removed.

        Args:
            path: Path of the new file.

        Returns:
            A context manager that gives the stream to write to.

        Raises:
            TakenError: The name is taken.
        """
        ...

    def rename_no_overwrite(self, source: str, target: str) -> None:
        """Give a file another name in one step; missing folders above the new name are made.

        Args:
            source: Path of the file.
            target: Its new path.

        Raises:
            TakenError: The new name is taken.
            MissingError: There is no file `source`.
            FolderError: The new name is that of a folder.
        """
        ...

    def local_path(self, path: str) -> Path | None:
        """Where other software on this machine can read a file itself.

        Args:
            path: Below the store's root.

        Returns:
            The path, or None where only this store can read it.
        """
        ...

    def rename_folder(self, source: str, target: str, last: str) -> None:
        """Give a folder a name that nothing bears: in one step where folders can be renamed, else file by file.

        The same call goes on with one that was killed. Nobody else makes these names meanwhile: the caller has the claim.

        Args:
            source: The folder.
            target: Its new name.
            last: Name of the file in it that comes last: where it is, everything is.

        Raises:
            TakenError: There is something else of the target's name.
            FolderError: A folder bears the name of a file.
        """
        ...

    def swap_folders(self, one: str, other: str) -> None:
        """Swap the names of two folders, so that neither name ever holds a mixture of both.

        Some stores need more than one step. If the process is killed between them, `recover_swap` finishes or undoes the swap; it
        has to be called, with the claim on these folders held, before anything else is done with them.

        Args:
            one: Path of the one folder.
            other: Path of the other folder: the one that readers look at.
        """
        ...

    def recover_swap(self, one: str, other: str) -> None:
        """Finish or undo an exchange of two folders during which the process was killed; nothing happens if there was none.

        Args:
            one: As it was given to `swap_folders`.
            other: As it was given to `swap_folders`.
        """
        ...

    def free_bytes(self) -> int | None:
        """Tell how much more can be written.

        Returns:
            Free space in bytes; None where the store does not tell.
        """
        ...

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it; nothing happens if there is neither.

        Args:
            path: Path of the file or folder.
        """
        ...

    def claim(self, path: str) -> AbstractContextManager[Callable[[], None]]:
        """Hold the claim in a folder for this process alone; see `pipeline.store.claim`.

        The claim ends with its process, however that ends: at once for takers on this machine, elsewhere after `lease_s` and a
        grace.

        Args:
            path: Path of the folder that holds the claim's files.

        Returns:
            A context manager that gives the claim's check, a function that raises LostClaimError once the claim is no longer
            held. The body calls it before each step that cannot be undone.

        Raises:
            ClaimedError: Another process holds the claim; the message says which.
        """
        ...
