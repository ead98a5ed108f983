"""HDFS by HTTP, through the `hdfs` package: any of several NameNodes, reads that go on where they broke off."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ssl import SSLCertVerificationError
from typing import Any, BinaryIO

from models.extras import install
from pipeline.errors import ConfigError, MissingError, StoreError, TakenError, UnauthenticatedError, UnavailableError
from pipeline.store.base import BlockLocation
from pipeline.store.hdfs.java_errors import error_of
from pipeline.store.os_errors import error_of_system
from pipeline.store.retrying_client import Ranged, Status
from pipeline.store.settings import StoreConfig

_WRITE_BYTES = 1 << 20


class WebClient:
    """HDFS by HTTP (WebHDFS); a structural `pipeline.store.retrying_client.Client`.

    Requests are authenticated by the token if there is one, else by Kerberos if it is asked for, else by the user's bare name.

    Args:
        namenodes: Addresses of the NameNodes as `http(s)://HOST:PORT`; whichever is active answers.
        config: Authentication, deadline of a request and number of connections.

    Raises:
        ConfigError: The package hdfs, or its extra for Kerberos, is missing.
    """

    name = "webhdfs"
    given_up = False

    def __init__(self, namenodes: list[str], config: StoreConfig) -> None:
        try:
            import hdfs
            import requests
        except ModuleNotFoundError as error:
            raise ConfigError(f"{namenodes[0]}: needs the package hdfs: {install('hdfs')}") from error
        # It logs what it raises, with the server's answer.
        logging.getLogger("hdfs").setLevel(logging.CRITICAL + 1)
        self._answer = threading.local()  # the status of the last answer that this thread got
        session = requests.Session()
        session.hooks["response"].append(self._note)
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=config.read_threads + 4)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        given = {"timeout": (min(5.0, config.timeout_s), config.timeout_s), "session": session}
        url = ";".join(namenodes)
        if config.token is not None:
            self._inner: Any = hdfs.TokenClient(url, config.token.get_secret_value(), **given)
        elif config.kerberos:
            try:
                from hdfs.ext.kerberos import KerberosClient
            except ImportError as error:
                raise ConfigError("kerberos with WebHDFS needs: pip install 'hdfs[kerberos]'") from error
            self._inner = KerberosClient(url, max_concurrency=config.read_threads, principal=config.principal, **given)
        else:
            self._inner = hdfs.InsecureClient(url, user=config.user or os.environ.get("HADOOP_USER_NAME"), **given)
        self._blocks = hdfs.client._Request("GET").to_method("GET_BLOCK_LOCATIONS")
        self._places = hdfs.client._Request("GET").to_method("GETFILEBLOCKLOCATIONS")
        # A path is a path: the library would take "#LATEST" in it for a question.
        self._inner.resolve = lambda path: path

    def status(self, path: str) -> Status | None:
        """Look at a file or folder.

        Args:
            path: Absolute path.

        Returns:
            Its status; None if nothing bears the name.
        """
        try:
            with self._told(path), _parsed(path):
                return _status(path, self._inner.status(path))
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
            with self._told(path), _parsed(path):
                found = self._inner._list_status(path).json()["FileStatuses"]["FileStatus"]
                # Of a file the server lists the file itself, without a suffix.
                return [_status(f"{path.rstrip('/')}/{one['pathSuffix']}".rstrip("/"), one) for one in found]
        except MissingError:
            return []

    def reader(self, path: str) -> Ranged:
        """Prepare to read ranges of a file; nothing is asked of the server yet.

        A read that breaks off goes on behind the bytes that have come, perhaps at another replica, as long as each request gives
        some.

        Args:
            path: Absolute path of the file.

        Returns:
            A function of start and length, in bytes, that reads exactly that range, and raises UnavailableError if it cannot.
        """

        def ranged(start: int, length: int) -> bytes:
            data = bytearray()
            while len(data) < length:
                before = len(data)
                try:
                    with self._told(path):
                        self._fill(path, start, length, data)
                except UnavailableError:
                    if len(data) == before:
                        raise
                    continue  # go on behind what has come, perhaps at another replica
                if len(data) == before:
                    raise UnavailableError(path, f"ends at byte {start + before:,}, before {start + length:,}; was it changed?")
            return bytes(data)

        return ranged

    def _fill(self, path: str, start: int, length: int, data: bytearray) -> None:
        # Not its `read`: that turns off what urllib3 knows of a body that is too short.
        answer = self._inner._open(path, offset=start + len(data), length=length - len(data))
        try:
            for block in answer.iter_content(_WRITE_BYTES):
                data += block
        finally:
            answer.close()
        if len(data) > length:
            raise UnavailableError(path, f"{len(data):,} bytes came for {length:,}; try again")

    def create(self, path: str, data: BinaryIO, overwrite: bool) -> None:
        """Write a whole file, and make the folders above it that are missing.

        Args:
            path: Absolute path of the file.
            data: Stream that is read to its end.
            overwrite: Whether a file that is there may be replaced.

        Raises:
            TakenError: The name is taken, and `overwrite` is False.
        """
        with self._told(path):
            self._inner.write(path, data=iter(lambda: data.read(_WRITE_BYTES), b""), overwrite=overwrite)

    def rename(self, source: str, target: str) -> None:
        """Rename a file or folder; the folder of the new name has to be there.

        WebHDFS only answers whether it was done; why not is found out by looking at both names.

        Args:
            source: Absolute path.
            target: New absolute path.

        Raises:
            TakenError: The new name is taken.
            MissingError: There is no `source`.
            UnavailableError: It was refused for another reason.
        """
        with self._told(target), _parsed(target):
            if self._inner._rename(source, destination=target).json()["boolean"]:
                return
        # A false says no more than that nothing was done.
        if self.status(target) is not None:
            raise TakenError(target, "the name is taken")
        if self.status(source) is None:
            raise MissingError(source, "is not there")
        raise UnavailableError(target, "the rename was refused; try again")

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, as far as they are missing.

        Args:
            path: Absolute path of the folder.
        """
        with self._told(path):
            self._inner._mkdirs(path)

    def delete(self, path: str, recursive: bool = True) -> None:
        """Remove a file or folder; nothing happens if there is neither.

        Args:
            path: Absolute path.
            recursive: Whether a folder is removed with all that is in it; else only an empty one is.

        Raises:
            TakenError: The folder is not empty, and `recursive` is False.
        """
        with self._told(path):
            self._inner._delete(path, recursive=recursive)

    def is_being_written(self, path: str) -> bool:
        """Whether somebody is still writing a file; False where the server does not tell.

        Args:
            path: Absolute path of the file.
        """
        with self._told(path), _parsed(path):
            answer = self._blocks(self._inner, path, offset=0, length=1 << 40).json()
            return bool(answer.get("LocatedBlocks", {}).get("isUnderConstruction"))

    def block_locations(self, path: str, size: int) -> list[BlockLocation]:
        """Ask which machines hold the blocks of a file.

        Args:
            path: Absolute path of the file.
            size: Its size in bytes.

        Returns:
            The location of each block; each machine by its name and its address.
        """
        with self._told(path), _parsed(path):
            found = self._places(self._inner, path, offset=0, length=size).json()["BlockLocations"]["BlockLocation"]
            return [_place(one) for one in found]

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        from hdfs.util import HdfsError
        from requests import RequestException
        from urllib3.exceptions import HTTPError

        self._answer.status = None
        try:
            yield
        except StoreError:
            raise
        except HdfsError as error:
            status = self._answer.status
            message = error.message if isinstance(error.message, str) else repr(error.message)[:300]
            if error.exception is None and status == 401:
                raise UnauthenticatedError(path, "not accepted; give a user, a token, or kerberos in [store]") from error
            raise error_of(path, error.exception, message, status) from error
        except (RequestException, HTTPError, OSError) as error:
            if _is_wrong_address(error):
                raise StoreError(path, f"{type(error).__name__} of a WebHDFS request: {str(error)[:300]}") from error
            if isinstance(error, OSError) and error.errno is not None:
                raise error_of_system(path, error) from error
            raise UnavailableError(path, f"{type(error).__name__} of a WebHDFS request; try again") from error

    def _note(self, answer: Any, *_: Any, **__: Any) -> None:
        self._answer.status = answer.status_code


@contextmanager
def _parsed(path: str) -> Iterator[None]:
    """Whatever is wrong with an answer is the server's fault, and that of whatever stands between."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnavailableError(path, f"an answer that is no WebHDFS ({type(error).__name__}); is the address right?") from error


def _place(one: dict[str, Any]) -> BlockLocation:
    # Beside each name the address with its port: Ray may know a machine by either.
    addresses = [str(name).rpartition(":")[0] for name in one.get("names", ())]
    hosts = tuple(tuple(dict.fromkeys(pair)) for pair in zip(map(str, one["hosts"]), addresses, strict=True))
    return BlockLocation(int(one["offset"]), int(one["offset"]) + int(one["length"]), hosts)


def _status(path: str, one: dict[str, Any]) -> Status:
    modified = int(one["modificationTime"]) * 1_000_000
    return Status(path, one["type"] == "DIRECTORY", int(one["length"]), modified, int(one.get("blockSize", 0)))


def _is_wrong_address(error: BaseException) -> bool:
    """Whether no request can be made of it, or the server's certificate does not stand for it."""
    from requests import JSONDecodeError, RequestException

    if isinstance(error, RequestException) and isinstance(error, ValueError):
        return not isinstance(error, JSONDecodeError)
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, SSLCertVerificationError):
        within = next((one for one in (getattr(cause, "reason", None), *cause.args) if isinstance(one, BaseException)), None)
        cause = within or cause.__cause__
    return cause is not None
