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
    """A file: its path below the store's root with "/" between parts, its size in bytes, its time of modification in ns."""

    path: str
    size: int
    modified_ns: int


@dataclass(slots=True)
class Listing:
    """What lies at or below a path, for whoever reads it: nothing of it is left out without a word.

    `files` are sorted by path. `real`: where a file really is, by the path at which a link shows it; `linked`: what several
    names of one file have in common, by path. `odd`: what is no file that could be read, and what it is. `failed`: folders and
    files that could not be looked at.
    """

    files: list[Entry] = field(default_factory=list)
    real: dict[str, str] = field(default_factory=dict)
    linked: dict[str, tuple[int, ...]] = field(default_factory=dict)
    odd: dict[str, str] = field(default_factory=dict)
    failed: dict[str, StoreError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BlockLocation:
    """The bytes `start` to `end` of a file lie on several machines, each of which goes by several names."""

    start: int
    end: int
    hosts: tuple[tuple[str, ...], ...]


class Store(Protocol):
    """Files below one root. Paths are relative to it, "/" between parts, and cannot leave it.

    Every method, and every read of a stream, raises a StoreError that names the path: MissingError, TakenError, FolderError,
    DeniedError, NoSpaceError, QuotaError or, for anything that may pass, UnavailableError.
    """

    @property
    def config(self) -> StoreConfig | None:
        """With which it was opened; None on this machine."""
        ...

    @property
    def lanes(self) -> int:
        """How many files are well read at once."""
        ...

    @property
    def url(self) -> str:
        """The root, as a user would write it."""
        ...

    def list(self, folder: str = "") -> Iterator[Entry]:
        """All files below a folder, at any depth, sorted by path; none if there is no such folder."""
        ...

    def survey(self, path: str, enter: Callable[[str], bool]) -> Listing:
        """What lies at or below a path, as an input: folders that may not be listed are told instead of raised. Folders of whose
        paths `enter` says False are not looked into, where the store looks into one after the other.
        """
        ...

    def stat(self, path: str) -> Entry | None:
        """The file, or None if there is none. Raises FolderError if a folder bears the name."""
        ...

    def open_read(self, path: str, span: tuple[int, int] | None = None) -> BinaryIO:
        """The file's bytes, seekable. `span`: the bytes that will be read one after the other, so that they are fetched ahead."""
        ...

    def places(self, path: str, size: int) -> Sequence[BlockLocation]:
        """Where the parts of a file of so many bytes lie; nothing where the store does not tell."""
        ...

    def unfinished(self, entry: Entry) -> bool:
        """Whether somebody is still writing a file, as far as the store can tell."""
        ...

    def create_exclusive(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A new file to write; its folders are made. Raises TakenError if the name is taken.

        On leaving without an exception the bytes are on disk; with one the file is removed.
        """
        ...

    def rename_no_overwrite(self, source: str, target: str) -> None:
        """Give a file another name in one step; the target's folders are made. Raises TakenError if that name is taken."""
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

    def exchange(self, one: str, other: str) -> None:
        """Let two folders change names, so that no name ever holds a mixture of both.

        Where this takes more than one step, `settle` finishes or takes back one that was killed; it is called, with the
        claim on these folders held, before anything else is done with them.
        """
        ...

    def settle(self, one: str, other: str) -> None:
        """Finish or take back an exchange of these folders that was killed; nothing happens where there was none."""
        ...

    def free_bytes(self) -> int | None:
        """How much more can be written, where the store tells."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it; nothing happens if there is none."""
        ...

    def claim(self, path: str) -> AbstractContextManager[Callable[[], None]]:
        """Hold a folder's claim for this process alone, see `pipeline.store.claim`. Raises ClaimedError, with who holds it, if
        another one does.

        A claim ends with its process, however that ends: at once for others on this machine, elsewhere after `lease_s`. The
        function that the body is given raises LostClaimError once the claim is not held any more; it is called before each step
        that cannot be taken back.
        """
        ...
