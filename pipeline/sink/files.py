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
    """A claim on a folder of an output, see `Store.claim`: the first thing that is written there.

    Raises OutputError, which names the place, where nothing can be written, and what `Store.claim` raises.
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
    """Write a file that has its name only when it is whole; `name` is that of its fault points. Raises TakenError.

    Who writes while another process may be at the end of its run, which removes all that is staged, names a place of its own.
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


def replace(store: Store, source: str, target: str, name: str = "") -> None:
    """Let a file take the place of another one; for a moment there is none of the target's name.

    Args:
        store: The output.
        source: The file; it has no longer this name afterwards.
        target: The name it gets; the file there, if any, is removed.
        name: Of the fault point between the two steps, `NAME.deleted.after`; "" has none.
    """
    store.delete(target)
    if name:
        point(f"{name}.deleted.after")
    store.rename_no_overwrite(source, target)


def write_over(store: Store, path: str, data: bytes, staging: str) -> None:
    """Write a file that is whole when it has its name, in the place of the one there was; for a moment there is none."""
    staged = f"{staging}/{uuid4().hex}/{path}"
    with store.create_exclusive(staged) as stream:
        stream.write(data)
    try:
        replace(store, staged, path)
    finally:
        try_delete(store, staged.rsplit("/", 1)[0])


def try_delete(store: Store, folder: str) -> None:
    """Remove a folder of staged files; what cannot be removed now is removed by the next run."""
    with suppress(StoreError):
        store.delete(folder)
