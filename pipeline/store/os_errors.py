"""What the operating system says of a file, as one of our errors: see `pipeline.exits` for what each means to a user."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import (
    TRANSIENT,
    DeniedError,
    FolderError,
    MissingError,
    NoSpaceError,
    StoreError,
    TakenError,
    UnavailableError,
)

_KINDS: dict[int, type[StoreError]] = {
    errno.ENOENT: MissingError,
    errno.ENOTDIR: MissingError,
    errno.EEXIST: TakenError,
    errno.ENOTEMPTY: TakenError,
    errno.EISDIR: FolderError,
    errno.EACCES: DeniedError,
    errno.EPERM: DeniedError,
    errno.EROFS: DeniedError,
    errno.ENOSPC: NoSpaceError,
    errno.EDQUOT: NoSpaceError,
}
# Mistakes of our own code: they are bugs, whichever call they come out of, and pass as they are.
OURS = (TypeError, AttributeError, NameError, AssertionError, NotImplementedError, RecursionError, MemoryError)


def error_type(number: int | None) -> type[StoreError]:
    """The error for one of the system's error numbers: UnavailableError where it may pass, StoreError for one without a kind."""
    return _KINDS.get(number or 0, UnavailableError if number in TRANSIENT else StoreError)


def error_of_system(path: str, error: OSError) -> StoreError:
    """The error that stands for one of the system's; of one that has no kind of its own it tells the number's name."""
    kind, text = error_type(error.errno), error.strerror or str(error) or type(error).__name__
    if kind is StoreError:
        text = f"{text} ({errno.errorcode.get(error.errno or 0, type(error).__name__)})"
    return kind(path, text)


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise the system's errors as ours."""
    try:
        yield
    except OSError as error:
        raise error_of_system(path, error) from error
