"""Small files that appear whole, and the claim on an output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from uuid import uuid4

from pipeline.errors import NoSpaceError, OutputError, StoreError, UnavailableError
from pipeline.faults import point
from pipeline.sink.layout import STAGING
from pipeline.store.base import Store


@contextmanager
def hold_claim(store: Store, path: str) -> Iterator[Callable[[], None]]:
    """Hold the claim on a folder of an output while the body runs; it is the first thing written there.

    Args:
        store: The output.
        path: Folder of the claim, below the store's root; see `Store.claim`.

    Yields:
        A function that raises LostClaimError once the claim is no longer held. Call it before each step that cannot be taken
        back.

    Raises:
        OutputError: Nothing can be written at that place; the message names it.
        ClaimedError: Another process holds the claim.
        UnavailableError: The store does not answer for now; `path` of the error is the full URL.
        NoSpaceError: The disk is full; `path` of the error is the full URL.
    """
    with ExitStack() as stack:
        try:
            held = stack.enter_context(store.claim(path))
        except (UnavailableError, NoSpaceError) as error:
            raise type(error)(f"{store.url.rstrip('/')}/{error.path}", error.message) from error
        except StoreError as error:
            text = f"{store.url}: nothing can be written there ({error.path}: {error.message})"
            raise OutputError(f"{text}; name another folder for the output, or have its permissions changed") from error
        yield held


def write_whole(store: Store, path: str, data: bytes, name: str, staging: str = STAGING) -> None:
    """Write a file that appears under its name only once it is complete.

    The bytes go to a staged file first, which is then renamed.

    Args:
        store: Holds the file.
        path: Below the store's root; the name must be free.
        data: Content of the file.
        name: Prefix of the fault points passed on the way: `NAME.write.before`, `NAME.write.after`, `NAME.rename.after`.
        staging: Folder of the staged file. The end of a run clears the default one, so a writer that may be active at that
            moment names a folder of its own.

    Raises:
        TakenError: There is a file at `path` already; it is left as it is.
    """
    staged = f"{staging}/{uuid4().hex}/{path.rsplit('/', 1)[-1]}"
    point(f"{name}.write.before")
    with store.create_exclusive(staged) as stream:
        stream.write(data)
    point(f"{name}.write.after")
    try:
        store.rename_no_overwrite(staged, path)
    finally:
        try_delete(store, staged.rsplit("/", 1)[0])
    point(f"{name}.rename.after")


def replace(store: Store, source: str, target: str, between: Callable[[], object] = lambda: None) -> None:
    """Let a file take the place of another one; for a moment there is none of the target's name.

    Args:
        store: The output.
        source: The file; it has no longer this name afterwards.
        target: The name it gets; the file there, if any, is removed.
        between: Called between the two steps.
    """
    store.delete(target)
    between()
    store.rename_no_overwrite(source, target)


def write_over(store: Store, path: str, data: bytes, staging: str) -> None:
    """Write a file in place of the one that is there; under its name it is always complete.

    The old file is deleted before the new one is renamed, so for a moment there is none.

    Args:
        store: Holds the file.
        path: Below the store's root.
        data: The new content.
        staging: Folder of the staged file.

    Raises:
        TakenError: Another process wrote `path` between the deletion and the rename.
    """
    staged = f"{staging}/{uuid4().hex}/{path}"
    with store.create_exclusive(staged) as stream:
        stream.write(data)
    try:
        replace(store, staged, path)
    finally:
        try_delete(store, staged.rsplit("/", 1)[0])


def try_delete(store: Store, folder: str) -> None:
    """Remove a folder of staged files or a single file; a StoreError is ignored, and what remains is left to the next run.

    Args:
        store: Holds the folder.
        folder: Path of the folder or file, below the store's root.
    """
    with suppress(StoreError):
        store.delete(folder)
