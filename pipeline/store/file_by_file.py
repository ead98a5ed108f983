"""A folder gets another name where folders cannot be renamed in one step: file by file."""

from __future__ import annotations

from pipeline.errors import TakenError
from pipeline.store.base import Store


def rename_file_by_file(store: Store, source: str, target: str, last: str) -> None:
    """Do what `Store.rename_folder` says.

    Args:
        store: Where the folder is.
        source: The folder.
        target: Its new name.
        last: Name of the file in it that comes last.

    Raises:
        TakenError: There is something else of the target's name.
        FolderError: A folder bears the name of a file.
    """
    files = [entry.path for entry in store.list(source)]
    for path in sorted(files, key=lambda path: path.endswith(f"/{last}")):
        into = target + path.removeprefix(source)
        try:
            store.rename_no_overwrite(path, into)
        except TakenError:
            if _bytes(store, path) != _bytes(store, into):
                raise
            store.delete(path)  # who was killed has copied it and not yet removed it
    store.delete(source)


def _bytes(store: Store, path: str) -> bytes:
    with store.open_read(path) as stream:
        data: bytes = stream.read()
        return data
