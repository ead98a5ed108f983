"""A file system of fsspec as a client: what a store of objects needs of it, its errors told apart by their codes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
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
from pipeline.store.client import Ranged, Status
from pipeline.store.local import kind_of
from pipeline.store.settings import StoreConfig

_CODES: dict[str, tuple[type[StoreError], str]] = {
    "PreconditionFailed": (TakenError, "the name is taken"),
    "ConditionalRequestConflict": (UnavailableError, "somebody else is writing it; try again"),
    "NoSuchKey": (MissingError, "is not there"),
    "NoSuchBucket": (MissingError, "there is no such bucket"),
    "AccessDenied": (DeniedError, "permission denied; use other credentials, or have the permissions changed"),
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"),
        (UnauthenticatedError, "the credentials are not valid, or not any more; get new ones"),
    ),
}
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"}
_SYSTEM: list[tuple[type[OSError], type[StoreError], str]] = [
    (FileNotFoundError, MissingError, "is not there"),
    (FileExistsError, TakenError, "the name is taken"),
    (PermissionError, DeniedError, "permission denied; use other credentials, or have the permissions changed"),
]


class FsspecClient:
    """See `pipeline.store.client.Client`; what a store of objects has of it."""

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

    def status(self, path: str) -> Status | None:
        with suppress(MissingError), _told(path):
            return _status(self.fs.info(path))
        return None

    def files(self, path: str) -> list[Status]:
        """All below a folder."""
        with suppress(MissingError), _told(path):
            return [_status(one) for one in self.fs.find(path, detail=True, withdirs=False).values()]
        return []

    def reader(self, path: str) -> Ranged:
        def ranged(start: int, length: int) -> bytes:
            with _told(path):
                data: bytes = self.fs.cat_file(path, start=start, end=start + length)
            if len(data) != length:
                raise UnavailableError(path, f"{len(data):,} bytes came for {length:,}; was it changed?")
            return data

        return ranged

    def put(self, path: str, data: bytes, overwrite: bool) -> None:
        with _told(path):
            if overwrite:
                self.fs.pipe_file(path, data)
            elif self.name in ("s3", "s3a"):
                # s3fs would cut large ones in pieces, whose end it does not make conditional.
                self.fs.call_s3("put_object", Bucket=path.split("/")[0], Key=path.partition("/")[2], Body=data, IfNoneMatch="*")
            else:
                self.fs.pipe_file(path, data, mode="create")

    def remove(self, paths: list[str]) -> None:
        with suppress(MissingError), _told(paths[0]):
            self.fs.rm(paths)


def _status(one: dict[str, Any]) -> Status:
    when = (
        one.get("LastModified") or one.get("mtime") or one.get("updated") or one.get("last_modified") or one.get("created") or 0
    )
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    seconds = when.timestamp() if isinstance(when, datetime) else float(when)
    # An object that is written anew in the same second is told by what it holds.
    tag = int.from_bytes(str(one.get("ETag", "")).strip('"').encode()[:3], "big")
    return Status(
        str(one["name"]).rstrip("/"), one["type"] == "directory", int(one["size"] or 0), round(seconds * 1e3) * 10**6 + tag
    )


@contextmanager
def _told(path: str) -> Iterator[None]:
    try:
        yield
    except StoreError:
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
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EISDIR):
        return kind_of(error.errno)(path, error.strerror or name)
    return UnavailableError(path, f"{code or name}: {str(error)[:300]}; try again")


def _code(error: BaseException | None) -> str:
    """The code that the service gives, not its words."""
    while error is not None:
        answer = getattr(error, "response", None)
        if isinstance(answer, dict):
            return str(answer.get("Error", {}).get("Code", ""))
        error = error.__cause__
    return ""
