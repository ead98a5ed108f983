"""Batches of new files: a batch is a folder of the input that holds documents' files, as they are at one look."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

from pipeline.config import TagConfig
from pipeline.errors import StoreError
from pipeline.nightly.locations import input_of, root_of
from pipeline.store.base import Entry, Store

log = logging.getLogger("textmill")
# Why a batch is whole, or what it lacks. "unmarked": only time will tell.
Mark = Literal["marker", "manifest", "unmarked", "incomplete", "unreadable"]

_LOOK_AGAIN = ("incomplete", "unreadable")  # a manifest may be mended within the time that a file system tells apart


@dataclass(frozen=True, slots=True)
class InputBatch:
    """A folder, its files with sizes and times, and what its marker or manifest says of it.

    `revision`, 24 hexadecimal digits, names folder and content: another one whenever a file comes, goes or changes.
    """

    root: str
    folder: str
    files: tuple[Entry, ...]
    mark: Mark = "unmarked"
    text: str = ""
    revision: str = field(init=False)

    def __post_init__(self) -> None:
        listed = [[entry.path, entry.size, entry.modified_ns] for entry in self.files]
        made = hashlib.sha256(json.dumps([self.root, self.folder, listed]).encode()).hexdigest()[:24]
        object.__setattr__(self, "revision", made)

    @property
    def name(self) -> str:
        """The folder, as a user would write it."""
        return f"{self.root}/{self.folder}".rstrip("/")


class Landing:
    """The folders of an input, looked at again and again: one in which nothing has changed costs its place in the listing.

    Args:
        tag: Settings of the job.
        marker: Name of the file that says that a folder is whole.
        manifest: Name of the file that lists what belongs to a folder.
    """

    def __init__(self, tag: TagConfig, marker: str, manifest: str) -> None:
        self._tag, self._marker, self._manifest = tag, marker, manifest
        self._told = set[str]()
        self._seen: dict[str, tuple[list[Entry | None], InputBatch]] = {}  # by folder: marker, manifest and documents' files

    def look(self) -> list[InputBatch]:
        """Look at the input.

        Returns:
            Its batches, by folder.

        Raises:
            ConfigError: There is no input.
            StoreError: It cannot be listed.
        """
        found = input_of(self._tag, (self._marker, self._manifest))
        for path, error in found.unreadable.items():
            if path not in self._told:
                log.warning("left out until it can be read: %s", error)
        self._told = set(found.unreadable)
        folders: dict[str, list[Entry]] = defaultdict(list)
        for entry in found.files:
            folders[entry.path.rpartition("/")[0]].append(entry)
        seen = {}
        for folder, files in sorted(folders.items()):
            below = f"{folder}/" if folder else ""
            marker, manifest = (found.marks.get(f"{below}{name}") for name in (self._marker, self._manifest))
            now = [marker, manifest, *files]
            before = self._seen.get(folder)
            if before is None or before[0] != now or before[1].root != found.store.url or before[1].mark in _LOOK_AGAIN:
                before = now, self._batch(found.store, folder, files, marker, manifest)
            seen[folder] = before
        self._seen = seen
        return [batch for _, batch in seen.values()]

    def _batch(self, store: Store, folder: str, files: list[Entry], marker: Entry | None, manifest: Entry | None) -> InputBatch:
        """A marker or manifest that is older than a file was there before the data: it says nothing of them."""
        newest_ns = max(entry.modified_ns for entry in files)
        below = f"{folder}/" if folder else ""
        entries = tuple(sorted(files))
        if manifest is not None and manifest.modified_ns >= newest_ns:
            try:
                wanted = _listed(store, manifest.path)
            except (StoreError, OSError, ValueError, KeyError, TypeError) as error:
                return InputBatch(
                    store.url, folder, entries, "unreadable", f"{self._manifest} cannot be read: {type(error).__name__}"
                )
            there = {entry.path.removeprefix(below): entry.size for entry in files}
            lacking = sorted(path for path, size in wanted.items() if there.get(path) != size)
            if lacking:
                return InputBatch(
                    store.url, folder, entries, "incomplete", f"{self._manifest} names {lacking[0]}, which is not there so"
                )
            chosen = tuple(entry for entry in entries if entry.path.removeprefix(below) in wanted)
            if chosen:
                return InputBatch(store.url, folder, chosen, "manifest", f"{self._manifest} is there")
        if marker is not None and marker.modified_ns >= newest_ns:
            return InputBatch(store.url, folder, entries, "marker", f"{self._marker} is there")
        return InputBatch(store.url, folder, entries)


def is_as_seen(tag: TagConfig, batch: InputBatch) -> bool:
    """Whether the batch's files still are what they were at the look.

    Args:
        tag: Settings of the job.
        batch: The batch.

    Raises:
        StoreError: They cannot be looked at.
    """
    store = root_of(tag, batch.root)
    return all(store.stat(entry.path) == entry for entry in batch.files)


def _listed(store: Store, path: str) -> dict[str, int]:
    with store.open_read(path) as stream:
        return {str(file["path"]): int(file["size"]) for file in json.load(stream)["files"]}
