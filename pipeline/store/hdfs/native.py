"""HDFS by its own protocol, through `hdfs-native` (Rust). Its calls have no deadline: make them through `RetryingClient`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from models.extras import install
from pipeline.errors import (
    ConfigError,
    DeniedError,
    FolderError,
    MissingError,
    StoreError,
    TakenError,
    UnavailableError,
)
from pipeline.store.hdfs.java_errors import error_of
from pipeline.store.os_errors import OURS, error_of_system
from pipeline.store.retrying_client import Ranged, Status
from pipeline.store.settings import StoreConfig

_RPC = re.compile(r'RPCError\("([\w.$]+)", "(.*)', re.DOTALL)
_WRITE_BYTES = 1 << 20


class NativeClient:
    """HDFS by its own protocol; a structural `pipeline.store.retrying_client.Client`.

    The library reads the user from the environment: `config.user` is set there, for the whole process.

    Args:
        url: URL of the file system, of which only scheme and authority count.
        config: User, Kerberos credentials and Hadoop configuration.

    Raises:
        ConfigError: The package hdfs-native is missing.
        StoreError: The library refuses the URL or the configuration.
    """

    name = "hdfs-native"

    def __init__(self, url: str, config: StoreConfig) -> None:
        try:
            import hdfs_native
        except ModuleNotFoundError as error:
            raise ConfigError(f"{url}: needs hdfs-native: {install('hdfs')}") from error
        if config.user:
            os.environ["HADOOP_USER_NAME"] = config.user
        self.given_up = False
        self._options = hdfs_native.WriteOptions
        with _told(url):
            self._inner: Any = hdfs_native.Client(
                url, config_dir=config.hadoop_conf, kerberos_principal=config.principal, kerberos_keytab=config.keytab
            )

    def status(self, path: str) -> Status | None:
        """Look at a file or folder.

        Args:
            path: Absolute path.

        Returns:
            Its status; None if nothing bears the name.
        """
        try:
            with _told(path):
                return _status(self._inner.get_file_info(path))
        except MissingError:
            return None

    def children(self, path: str) -> list[Status]:
        """List what a folder holds, one level deep.

        Args:
            path: Absolute path of the folder.

        Returns:
            Files and folders in it; empty if there is no such folder.
        """
        try:
            with _told(path):
                return [_status(one) for one in self._inner.list_status(path, False)]
        except MissingError:
            return []

    def reader(self, path: str) -> Ranged:
        """Open a file to read ranges of it; where its blocks lie is asked once, here.

        Args:
            path: Absolute path of the file.

        Returns:
            A function of start and length, in bytes, that reads exactly that range, and raises UnavailableError if it goes
            beyond the length that the file had when it was opened.

        Raises:
            MissingError: There is no such file.
        """
        with _told(path):
            inner = self._inner.read(path)
        size = inner.inner.file_length()

        def ranged(start: int, length: int) -> bytes:
            if start + length > size:  # the library panics there
                raise UnavailableError(path, f"holds {size:,} bytes, not {start + length:,}; was it changed?")
            with _told(path):
                data: bytes = inner.read_range(start, length)
            return data

        return ranged

    def create(self, path: str, data: BinaryIO, overwrite: bool) -> None:
        """Write a whole file, and make the folders above it that are missing.

        If the client is given up meanwhile, writing stops, and a new file is removed: nobody waits for it.

        Args:
            path: Absolute path of the file.
            data: Stream that is read to its end.
            overwrite: Whether a file that is there may be replaced.

        Raises:
            TakenError: The name is taken, and `overwrite` is False.
        """
        try:
            with _told(path):
                # Not the library's FileWriter: as an io object it closes itself when it is collected, in whatever thread that
                # happens, and one whose machines are dead keeps that thread for good.
                writer = self._inner.inner.create(path, self._options(overwrite=overwrite, create_parent=True))
                while not self.given_up and (block := data.read(_WRITE_BYTES)):
                    writer.write(block)
                writer.close()
        finally:
            if self.given_up and not overwrite:  # nobody waits for this call any more
                with suppress(Exception):
                    self._inner.delete(path, False)

    def rename(self, source: str, target: str) -> None:
        """Rename a file or folder; the folder of the new name has to be there.

        Args:
            source: Absolute path.
            target: New absolute path.

        Raises:
            TakenError: The new name is taken.
            MissingError: There is no `source`.
        """
        with _told(target):
            self._inner.rename(source, target, overwrite=False)

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, as far as they are missing, with mode 755.

        Args:
            path: Absolute path of the folder.
        """
        with _told(path):
            self._inner.mkdirs(path, 0o755, True)

    def delete(self, path: str, recursive: bool = True) -> None:
        """Remove a file or folder; nothing happens if there is neither.

        Args:
            path: Absolute path.
            recursive: Whether a folder is removed with all that is in it; else only an empty one is.

        Raises:
            TakenError: The folder is not empty, and `recursive` is False.
        """
        with _told(path):
            self._inner.delete(path, recursive)


def _status(one: Any) -> Status:
    return Status(one.path, one.isdir, one.length, one.modification_time * 1_000_000, one.blocksize or 0)


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except (StoreError, GeneratorExit, *OURS):
        raise
    except OSError as error:
        for known, kind, text in _SYSTEM:
            if isinstance(error, known):
                raise kind(path, text) from error
        if error.errno is not None:
            raise error_of_system(path, error) from error
        raise UnavailableError(path, f"{type(error).__name__}: {str(error)[:300]}; try again") from error
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if found := _RPC.search(str(error)):
            raise error_of(path, found[1], found[2].replace("\\n", "\n")) from error
        raise UnavailableError(path, f"{type(error).__name__}: {str(error)[:300]}; try again") from error


# The library raises these without a number.
_SYSTEM: list[tuple[type[OSError], type[StoreError], str]] = [
    (FileNotFoundError, MissingError, "is not there"),
    (FileExistsError, TakenError, "the name is taken"),
    (IsADirectoryError, FolderError, "is a folder"),
    (PermissionError, DeniedError, "permission denied; use another user, or have the permissions changed"),
]
