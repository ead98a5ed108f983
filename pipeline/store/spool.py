"""Bytes that wait on this machine until they are whole: remote files are written in one go, and again if that fails."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from pipeline.errors import NoSpaceError


class _Reading(io.RawIOBase):
    """The spooled bytes from the first one on; any number of readers do not disturb each other."""

    def __init__(self, file: int) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = os.preadv(self._file, [buffer], self._at)
        self._at += count
        return count


class Spool:
    """A temporary file without a name: nothing of it is left, however the process ends."""

    def __init__(self, path: str) -> None:
        self._path = path
        with self._told():
            self.stream = cast(BinaryIO, tempfile.TemporaryFile())

    @property
    def size(self) -> int:
        return os.fstat(self.stream.fileno()).st_size

    def finish(self) -> None:
        """Nothing more is written. Raises NoSpaceError if this machine's disk is full."""
        with self._told():
            self.stream.flush()

    def reading(self) -> BinaryIO:
        """The bytes, from the first one on."""
        return cast(BinaryIO, io.BufferedReader(_Reading(self.stream.fileno()), 1 << 20))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"could not be kept in {tempfile.gettempdir()} before it is sent ({error.strerror}); free space there"
            raise NoSpaceError(self._path, f"{text}, or name another folder in TMPDIR") from error

    def close(self) -> None:
        self.stream.close()
