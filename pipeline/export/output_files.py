"""The files of an output as a file system for DuckDB, whatever store they lie in: output://tags/part-000001-00000.parquet."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from pipeline.ask.store_files import StoreFiles
from pipeline.errors import StoreError
from pipeline.store.base import Entry, Store


class OutputFiles(StoreFiles):
    """Some files of an output, by their paths below its root.

    Args:
        store: The output.
        entries: The files, as the store has listed them.
        scheme: Scheme of the URLs by which DuckDB asks for them.
    """

    def __init__(self, store: Store, entries: Sequence[Entry], scheme: str) -> None:
        super().__init__(store, entries)
        self.protocol = (scheme,)
        self._entries = {entry.path: entry for entry in entries}

    def glob(self, path: str, **kwargs: Any) -> list[str]:
        """List one file: it is asked for by its name, never by a pattern.

        Args:
            path: URL of the file, with or without the scheme.
            **kwargs: Not used.

        Returns:
            Its path, or nothing if it is none of the files.
        """
        name = path.partition("://")[2] or path
        return [name] if name in self._entries else []

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> _Opened:  # type: ignore[override]  # all that DuckDB needs
        return _Opened(super()._open(path, mode, **kwargs), self._note)

    def _note(self, error: StoreError) -> None:
        self.failed = self.failed or error


class _Opened(io.RawIOBase):
    """A stream that is closed with its last reference, as DuckDB closes none; what goes wrong in it is noted."""

    def __init__(self, stream: BinaryIO, note: Callable[[StoreError], None]) -> None:
        self._stream, self._note = stream, note

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except StoreError as error:
            self._note(error)
            raise OSError(str(error)) from error

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        self._stream.close()
        super().close()
