"""What stores share that are on other machines, where a folder gets another name file by file."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import TakenError
from pipeline.store.base import Store


class FileByFile:
    """A store whose files other software cannot read by a path, and whose folders cannot be renamed in one step."""

    def local_path(self: Store, path: str) -> Path | None:
        """Say where other software on this machine can read a file itself.

        Args:
            path: Path of the file.

        Returns:
            None: other software cannot.
        """
        return None

    def rename_folder(self: Store, source: str, target: str, last: str) -> None:
        """Give a folder a name that nothing bears, file by file.

        Args:
            source: Path of the folder.
            target: Its new path.
            last: Name of the file in it that comes last: where it is, everything is.

        Raises:
            TakenError: There is something else of the target's name.
            FolderError: A folder bears the name of a file.
        """
        files = [entry.path for entry in self.list(source)]
        for path in sorted(files, key=lambda path: path.endswith(f"/{last}")):
            into = target + path.removeprefix(source)
            try:
                self.rename_no_overwrite(path, into)
            except TakenError:
                if _bytes(self, path) != _bytes(self, into):
                    raise
                self.delete(path)  # who was killed has copied it and not yet removed it
        self.delete(source)


def _bytes(store: Store, path: str) -> bytes:
    with store.open_read(path) as stream:
        data: bytes = stream.read()
        return data
