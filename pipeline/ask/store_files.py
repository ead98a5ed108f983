"""The tags in a store, as a file system for DuckDB."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, BinaryIO, TypeVar

from fsspec import AbstractFileSystem

from pipeline.errors import StoreError
from pipeline.sink.layout import TAGS
from pipeline.store.base import Store

T = TypeVar("T")


class StoreFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files of a store, which are only read.

    Args:
        store: The store.

    Attributes:
        protocol: Scheme of the store's URL.
        failed: The first error of the store. DuckDB keeps nothing of an error but its text.
    """

    cachable = False

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.protocol = (store.url.partition("://")[0],)
        self.failed: StoreError | None = None
        self._store, self._root = store, store.url.rstrip("/").partition("://")[2]

    def glob(self, path: str, **kwargs: Any) -> list[str]:
        """List the tags; DuckDB asks for nothing else.

        Args:
            path: Pattern of the tags' URL.
            **kwargs: Not used.

        Returns:
            Their URLs, without the scheme.

        Raises:
            OSError: The store fails; `failed` says how.
        """
        entries = self._asked(lambda: list(self._store.list(TAGS)))
        return [f"{self._root}/{one.path}" for one in entries if one.path.endswith(".parquet")]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Look at a file.

        Args:
            path: Its URL, with or without the scheme.
            **kwargs: Not used.

        Returns:
            `name`, `size` in bytes, `type`, and `modified` in seconds since the epoch.

        Raises:
            FileNotFoundError: There is no such file.
            OSError: The store fails; `failed` says how.
        """
        entry = self._asked(lambda: self._store.stat(self._below(path)))
        if entry is None:
            raise FileNotFoundError(path)
        return {"name": path, "size": entry.size, "type": "file", "modified": entry.modified_ns / 1e9}

    def modified(self, path: str) -> datetime:
        """Say when a file was written.

        Args:
            path: Its URL, with or without the scheme.

        Returns:
            The time, in UTC.

        Raises:
            FileNotFoundError: There is no such file.
            OSError: The store fails; `failed` says how.
        """
        return datetime.fromtimestamp(self.info(path)["modified"], UTC)

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> BinaryIO:
        return self._asked(lambda: self._store.open_read(self._below(path)))

    def _below(self, path: str) -> str:
        return path.partition("://")[2].removeprefix(f"{self._root}/") if "://" in path else path.removeprefix(f"{self._root}/")

    def _asked(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except StoreError as error:
            self.failed = self.failed or error
            raise OSError(str(error)) from error
