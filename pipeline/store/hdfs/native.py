"""HDFS by its own protocol, through `hdfs-native` (Rust). Its calls have no deadline: make them through `Calls`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

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
    """See `pipeline.store.retrying_client.Client`."""

    name = "hdfs-native"

    def __init__(self, url: str, config: StoreConfig) -> None:
        """Of `url` scheme and authority count. `user` is set for the whole process: the library reads it there."""
        try:
            import hdfs_native
        except ModuleNotFoundError as error:
            raise ConfigError(f"{url}: needs hdfs-native: pip install 'textmill[hdfs]'") from error
        if config.user:
            os.environ["HADOOP_USER_NAME"] = config.user
        self.given_up = False
        self._options = hdfs_native.WriteOptions
        with _told(url):
            self._inner: Any = hdfs_native.Client(
                url, config_dir=config.hadoop_conf, kerberos_principal=config.principal, kerberos_keytab=config.keytab
            )

    def status(self, path: str) -> Status | None:
        try:
            with _told(path):
                return _status(self._inner.get_file_info(path))
        except MissingError:
            return None

    def children(self, path: str) -> list[Status]:
        try:
            with _told(path):
                return [_status(one) for one in self._inner.list_status(path, False)]
        except MissingError:
            return []

    def reader(self, path: str) -> Ranged:
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
        with _told(target):
            self._inner.rename(source, target, overwrite=False)

    def make_folder(self, path: str) -> None:
        with _told(path):
            self._inner.mkdirs(path, 0o755, True)

    def delete(self, path: str, recursive: bool = True) -> None:
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
