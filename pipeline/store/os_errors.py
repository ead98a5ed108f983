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
    """Tell which of our errors stands for an error number of the operating system.

    Args:
        number: The `errno`; None for an error that has none.

    Returns:
        The class: UnavailableError where the error may pass, StoreError for a number without a class of its own.
    """
    return _KINDS.get(number or 0, UnavailableError if number in TRANSIENT else StoreError)


def error_of_system(path: str, error: OSError) -> StoreError:
    """Make the error of ours that stands for one of the operating system.

    Args:
        path: The file that it is about.
        error: What the operating system has raised.

    Returns:
        The error, not raised. Where it is a plain StoreError, its text ends with the symbolic name of the number, e.g. ELOOP.
    """
    kind, text = error_type(error.errno), error.strerror or str(error) or type(error).__name__
    if kind is StoreError:
        text = f"{text} ({errno.errorcode.get(error.errno or 0, type(error).__name__)})"
    return kind(path, text)


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Run the body of a `with`, and raise errors of the operating system as ours.

    Args:
        path: The file that the body works on.

    Yields:
        Nothing, once.

    Raises:
        StoreError: The body has raised an OSError, which is the cause.
    """
    try:
        yield
    except OSError as error:
        raise error_of_system(path, error) from error
