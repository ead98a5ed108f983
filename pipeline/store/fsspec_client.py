"""A file system of fsspec as a client: what a store of objects needs of it, its errors told apart by their codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from pipeline.errors import (
    ConfigError,
    DeniedError,
    MissingError,
    StoreError,
    TakenError,
    UnauthenticatedError,
    UnavailableError,
)
from pipeline.store.hdfs.java_errors import is_refusal
from pipeline.store.os_errors import OURS, error_of_system
from pipeline.store.retrying_client import Ranged, Status
from pipeline.store.settings import StoreConfig

_CODES: dict[str, tuple[type[StoreError], str]] = {
    "PreconditionFailed": (TakenError, "the name is taken"),
    "ConditionalRequestConflict": (UnavailableError, "somebody else is writing it; try again"),
    "NoSuchKey": (MissingError, "is not there"),
    "NoSuchBucket": (MissingError, "there is no such bucket"),
    "AccessDenied": (DeniedError, "permission denied; use other credentials, or have the permissions changed"),
    **dict.fromkeys(
        ("RequestTimeout", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"),
        (UnavailableError, "the store has too much to do; try again"),
    ),
    "RequestTimeTooSkewed": (UnauthenticatedError, "this machine's clock is wrong; set it"),
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"),
        (UnauthenticatedError, "the credentials are not valid, or not any more; get new ones"),
    ),
}
# What no other try makes right.
_NEVER = {"ParamValidationError", "InvalidBucketName", "UnknownServiceError", "UnknownRegionError", "InvalidRegionError"}
# One request of S3 removes no more.
_AT_ONCE = 1000
_VERSION, _STAND_IN = "?versionId=", "\0version\0"
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"}
_SYSTEM: list[tuple[type[OSError], type[StoreError], str]] = [
    (FileNotFoundError, MissingError, "is not there"),
    (FileExistsError, TakenError, "the name is taken"),
    (PermissionError, DeniedError, "permission denied; use other credentials, or have the permissions changed"),
]


class FsspecClient:
    """A file system of fsspec, with the calls that an object store needs.

    Those that `pipeline.store.retrying_client.Client` has too mean the same.

    Paths are as fsspec writes them, without a scheme: bucket, then key. Every method raises a StoreError that names the path.

    Args:
        scheme: Scheme of the URL, in lower case; fsspec's protocol.
        url: Root of the store, which errors name.
        config: How it is reached; s3 takes `timeout_s` from it.

    Attributes:
        name: The scheme.
        fs: The file system of fsspec.

    Raises:
        ConfigError: fsspec does not know the scheme, or the package that it needs for it is missing.
    """

    def __init__(self, scheme: str, url: str, config: StoreConfig) -> None:
        import fsspec

        self.name = scheme
        self.given_up = False
        more: dict[str, Any] = {}
        if scheme in ("s3", "s3a"):
            more["config_kwargs"] = {
                "connect_timeout": config.timeout_s, "read_timeout": config.timeout_s, "retries": {"max_attempts": 0},
            }  # fmt: skip
        try:
            self.fs: Any = fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False, **more)
        except (ImportError, ValueError) as error:
            raise ConfigError(f"{url}: {error}") from error
        if scheme in ("s3", "s3a"):
            self.fs.split_path = _whole_keys(self.fs.split_path)

    def status(self, path: str) -> Status | None:
        """Look at an object or folder.

        Args:
            path: Bucket and key.

        Returns:
            Its status; None if nothing bears the name. To the time of modification, in whole milliseconds, up to 17 ms are added
            that stand for the ETag: so an object that was written anew within one second is told from the old one.
        """
        with suppress(MissingError), _told(path):
            return _status(found := self.fs.info(path), str(found["name"]).rstrip("/"))
        return None

    def files(self, path: str) -> list[Status]:
        """List all objects at or below a name, by one recursive listing.

        Args:
            path: Bucket and key, or a prefix of it that ends where a part of the name ends.

        Returns:
            The objects; empty if there are none. One whose name ends in a slash stands for a folder, and has `folder` set.
        """
        with suppress(MissingError), _told(path):
            return [_status(one, key) for key, one in self.fs.find(path, detail=True, withdirs=False).items()]
        return []

    def reader(self, path: str) -> Ranged:
        """Prepare to read ranges of an object.

        Args:
            path: Bucket and key.

        Returns:
            A function of start and length, in bytes, that reads exactly that range, and raises UnavailableError if another
            number of bytes comes.
        """

        def ranged(start: int, length: int) -> bytes:
            with _told(path):
                data: bytes = self.fs.cat_file(path, start=start, end=start + length)
            if len(data) != length:
                raise UnavailableError(path, f"{len(data):,} bytes came for {length:,}; was it changed?")
            return data

        return ranged

    def put(self, path: str, data: bytes, overwrite: bool) -> None:
        """Write a whole object by one request.

        Args:
            path: Bucket and key.
            data: Its bytes.
            overwrite: Whether an object that is there may be replaced.

        Raises:
            TakenError: The name is taken, and `overwrite` is False.
        """
        with _told(path):
            if overwrite:
                self.fs.pipe_file(path, data)
            elif self.name in ("s3", "s3a"):
                # s3fs would cut large ones in pieces, whose end it does not make conditional.
                self.fs.call_s3("put_object", Bucket=path.split("/")[0], Key=path.partition("/")[2], Body=data, IfNoneMatch="*")
            else:
                self.fs.pipe_file(path, data, mode="create")

    def remove(self, paths: list[str]) -> None:
        """Remove objects, each by its exact name; those that are not there are passed over.

        Not by fsspec's `rm`, which takes the names for patterns if there are several.

        Args:
            paths: Bucket and key of each, all in one bucket.
        """
        if self.name in ("s3", "s3a"):
            for start in range(0, len(paths), _AT_ONCE):
                self._remove_objects(paths[start : start + _AT_ONCE])
            return
        with ThreadPoolExecutor(min(8, len(paths))) as pool:
            list(pool.map(self._remove_file, paths))

    def _remove_objects(self, paths: list[str]) -> None:
        """By one request; s3fs has it too, and keeps silent about what was refused."""
        bucket = paths[0].partition("/")[0]
        objects = [{"Key": path.partition("/")[2]} for path in paths]
        with _told(paths[0]):
            answer = self.fs.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        for one in answer.get("Errors", ()):
            code = str(one.get("Code", ""))
            kind, text = _CODES.get(code, (UnavailableError, "could not be removed; try again"))
            if kind is not MissingError:
                raise kind(f"{bucket}/{one.get('Key')}", f"{text} ({code})")

    def _remove_file(self, path: str) -> None:
        with suppress(MissingError), _told(path):
            self.fs.rm_file(path)


def _whole_keys(split: Callable[[str], tuple[str, str, str | None]]) -> Callable[[str], tuple[str, str, str | None]]:
    """s3fs takes "?versionId=" in a name for a question: here it is a part of the name."""

    def whole(path: str) -> tuple[str, str, str | None]:
        bucket, key, _ = split(path.replace(_VERSION, _STAND_IN))
        return bucket, key.replace(_STAND_IN, _VERSION), None

    return whole


def _status(one: dict[str, Any], name: str) -> Status:
    when = (
        one.get("LastModified") or one.get("mtime") or one.get("updated") or one.get("last_modified") or one.get("created") or 0
    )
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    seconds = when.timestamp() if isinstance(when, datetime) else float(when)
    # An object that is written anew in the same second is told by what it holds.
    tag = int.from_bytes(str(one.get("ETag", "")).strip('"').encode()[:3], "big")
    folder = one["type"] == "directory" or name.endswith("/")
    return Status(name, folder, int(one["size"] or 0), round(seconds * 1e3) * 10**6 + tag)


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except (StoreError, *OURS):
        raise
    except Exception as error:
        raise _error(path, error) from error


def _error(path: str, error: Exception) -> StoreError:
    name, code = type(error).__name__, _code(error)
    if code in _CODES:
        kind, text = _CODES[code]
        return kind(path, f"{text} ({code})")
    if name in _NO_CREDENTIALS:
        return UnauthenticatedError(path, f"no credentials ({name}); give them by the variables of the store's own tools")
    for known, kind, text in _SYSTEM:
        if isinstance(error, known):
            return kind(path, text)
    said = f"{code or name}: {str(error)[:300]}"
    status = _http_status(error)
    if name in _NEVER or is_refusal(status):
        return StoreError(path, said if status is None else f"{said} (HTTP {status})")
    # s3fs makes numbers of its own out of codes that it does not know.
    if isinstance(error, OSError) and error.errno is not None and not code:
        return error_of_system(path, error)
    return UnavailableError(path, f"{said}; try again")


def _code(error: BaseException | None) -> str:
    """The code that the service gives, not its words."""
    while error is not None:
        answer = getattr(error, "response", None)
        if isinstance(answer, dict):
            return str(answer.get("Error", {}).get("Code", ""))
        error = error.__cause__
    return ""


def _http_status(error: BaseException | None) -> int | None:
    """The HTTP status of the answer that an error tells of, under any of the names that it has."""
    while error is not None:
        answer = getattr(error, "response", None)
        if isinstance(answer, dict):
            return _number(answer.get("ResponseMetadata", {}).get("HTTPStatusCode"))
        for name in ("status_code", "status", "code"):
            if (found := _number(getattr(error, name, None))) is not None:
                return found
        error = error.__cause__
    return None


def _number(found: Any) -> int | None:
    return found if isinstance(found, int) and 100 <= found < 600 else None
