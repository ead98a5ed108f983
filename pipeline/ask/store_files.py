"""Files of a store, as a file system for DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO

from fsspec import AbstractFileSystem

from pipeline.errors import StoreError
from pipeline.store.base import Entry, Store


class StoreFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Some files of a store, which are only read. The store is not asked for anything but their bytes.

    Args:
        store: The store.
        entries: The files, as the store has listed them.

    Attributes:
        protocol: Scheme of the store's URL.
        failed: The first error of the store. DuckDB keeps nothing of an error but its text.
    """

    cachable = False

    def __init__(self, store: Store, entries: Sequence[Entry]) -> None:
        super().__init__()
        scheme, _, root = store.url.rstrip("/").partition("://")
        self.protocol = (scheme,)
        self.failed: StoreError | None = None
        self._store, self._entries = store, {f"{root}/{entry.path}": entry for entry in entries}

    def glob(self, path: str, **kwargs: Any) -> list[str]:
        """List the files, whatever the pattern.

        Args:
            path: A pattern that all of them have.
            **kwargs: Not used.

        Returns:
            Their URLs, without the scheme.
        """
        return list(self._entries)

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Look at a file.

        Args:
            path: Its URL, with or without the scheme.
            **kwargs: Not used.

        Returns:
            `name`, `size` in bytes, and `type`.

        Raises:
            FileNotFoundError: It is none of the files.
        """
        return {"name": path, "size": self._entry(path).size, "type": "file"}

    def modified(self, path: str) -> datetime:
        """Say when a file was written.

        Args:
            path: Its URL, with or without the scheme.

        Returns:
            The time, in UTC.

        Raises:
            FileNotFoundError: It is none of the files.
        """
        return datetime.fromtimestamp(self._entry(path).modified_ns / 1e9, UTC)

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> BinaryIO:
        try:
            return self._store.open_read(self._entry(path).path)
        except StoreError as error:
            self.failed = self.failed or error
            raise OSError(str(error)) from error

    def _entry(self, path: str) -> Entry:
        entry = self._entries.get(path.partition("://")[2] or path)
        if entry is None:
            raise FileNotFoundError(path)
        return entry
