"""Batches of new files: a batch is a folder of the input that holds documents' files, as they are at one look."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from pipeline.config import TagConfig
from pipeline.errors import StoreError
from pipeline.nightly.places import input_of, root_of
from pipeline.source.discover import Found
from pipeline.store.base import Entry, Store

# Why a batch is whole, or what it lacks. "unmarked": only time will tell.
Mark = Literal["marker", "manifest", "unmarked", "incomplete", "unreadable"]


@dataclass(frozen=True, slots=True)
class Batch:
    """A folder, its files with sizes and times, and what its marker or manifest says of it.

    `revision` names folder and content: another one whenever a file comes, goes or changes.
    """

    root: str
    folder: str
    files: tuple[Entry, ...]
    mark: Mark = "unmarked"
    text: str = ""

    @property
    def revision(self) -> str:
        """24 hexadecimal digits."""
        listed = [[entry.path, entry.size, entry.modified_ns] for entry in self.files]
        return hashlib.sha256(json.dumps([self.root, self.folder, listed]).encode()).hexdigest()[:24]

    @property
    def name(self) -> str:
        """The folder, as a user would write it."""
        return f"{self.root}/{self.folder}".rstrip("/")


def look(tag: TagConfig, marker: str, manifest: str) -> list[Batch]:
    """The batches of the input, by folder. Raises ConfigError or StoreError."""
    found = input_of(tag)
    folders: dict[str, list[Entry]] = defaultdict(list)
    for entry in found.files:
        folders[entry.path.rpartition("/")[0]].append(entry)
    return [_batch(found, folder, files, marker, manifest) for folder, files in sorted(folders.items())]


def is_as_seen(tag: TagConfig, batch: Batch) -> bool:
    """Whether the batch's files still are what they were at the look. Raises StoreError."""
    store = root_of(tag, batch.root)
    return all(store.stat(entry.path) == entry for entry in batch.files)


def _batch(found: Found, folder: str, files: list[Entry], marker: str, manifest: str) -> Batch:
    """A marker or manifest that is older than a file was there before the data: it says nothing of them."""
    store, newest_ns = found.store, max(entry.modified_ns for entry in files)
    below = f"{folder}/" if folder else ""
    entries = tuple(sorted(files))
    if (listing := _stat(store, f"{below}{manifest}")) is not None and listing.modified_ns >= newest_ns:
        try:
            wanted = _listed(store, listing.path)
        except (StoreError, OSError, ValueError, KeyError, TypeError) as error:
            return Batch(store.url, folder, entries, "unreadable", f"{manifest} cannot be read: {type(error).__name__}")
        there = {entry.path.removeprefix(below): entry.size for entry in files}
        lacking = sorted(path for path, size in wanted.items() if there.get(path) != size)
        if lacking:
            return Batch(store.url, folder, entries, "incomplete", f"{manifest} names {lacking[0]}, which is not there so")
        chosen = tuple(entry for entry in entries if entry.path.removeprefix(below) in wanted)
        if chosen:
            return Batch(store.url, folder, chosen, "manifest", f"{manifest} is there")
    if (mark := _stat(store, f"{below}{marker}")) is not None and mark.modified_ns >= newest_ns:
        return Batch(store.url, folder, entries, "marker", f"{marker} is there")
    return Batch(store.url, folder, entries)


def _stat(store: Store, path: str) -> Entry | None:
    try:
        return store.stat(path)
    except StoreError:
        return None


def _listed(store: Store, path: str) -> dict[str, int]:
    with store.open_read(path) as stream:
        return {str(file["path"]): int(file["size"]) for file in json.load(stream)["files"]}
