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
    """A temporary file without a name: nothing of it is left, however the process ends.

    Args:
        path: File that the bytes are meant for, which errors name.

    Attributes:
        stream: Takes the bytes.

    Raises:
        NoSpaceError: The temporary file cannot be made on this machine.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        with self._told():
            self.stream = cast(BinaryIO, tempfile.TemporaryFile())

    @property
    def size(self) -> int:
        """Bytes written so far, without those that still wait in the stream's buffer."""
        return os.fstat(self.stream.fileno()).st_size

    def finish(self) -> None:
        """Flush the buffer: nothing more is written.

        Raises:
            NoSpaceError: This machine cannot keep the bytes, usually because its disk is full.
        """
        with self._told():
            self.stream.flush()

    def reading(self) -> BinaryIO:
        """Open the bytes for reading, from the first one on; readers do not disturb each other.

        Returns:
            A buffered stream.
        """
        return cast(BinaryIO, io.BufferedReader(_Reading(self.stream.fileno()), 1 << 20))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"could not be kept in {tempfile.gettempdir()} before it is sent ({error.strerror}); free space there"
            raise NoSpaceError(self._path, f"{text}, or name another folder in TMPDIR") from error

    def close(self) -> None:
        """Close the file, which removes it."""
        self.stream.close()
