"""The port: what a run asks of a place that holds files. Every backend passes the same contract tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A file: its path below the store's root with "/" between parts, its size in bytes, its time of modification in ns."""

    path: str
    size: int
    modified_ns: int


class Store(Protocol):
    """Files below one root. Paths are relative to it, "/" between parts, and cannot leave it.

    Every method raises a StoreError that names the path: MissingError, TakenError, FolderError, DeniedError,
    NoSpaceError or, for anything that may pass, UnavailableError.
    """

    @property
    def url(self) -> str:
        """The root, as a user would write it."""
        ...

    def list(self, folder: str = "") -> Iterator[Entry]:
        """All files below a folder, at any depth, sorted by path; none if there is no such folder."""
        ...

    def stat(self, path: str) -> Entry | None:
        """The file, or None if there is none. Raises FolderError if a folder bears the name."""
        ...

    def open_read(self, path: str) -> BinaryIO:
        """The file's bytes, seekable."""
        ...

    def create_exclusive(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A new file to write; its folders are made. Raises TakenError if the name is taken.

        On leaving without an exception the bytes are on disk; with one the file is removed.
        """
        ...

    def rename_no_overwrite(self, source: str, target: str) -> None:
        """Give a file another name in one step; the target's folders are made. Raises TakenError if that name is taken."""
        ...

    def exchange(self, one: str, other: str) -> None:
        """Let two folders change names, so that each name holds a whole folder at every moment."""
        ...

    def delete(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it; nothing happens if there is none."""
        ...

    def claim(self, path: str) -> AbstractContextManager[None]:
        """Hold a name for this process alone. Raises ClaimedError, with who holds it, if another process does.

        A claim ends with its process, however that ends.
        """
        ...
