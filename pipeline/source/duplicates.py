"""Recognise one file by its many names: links, hard links, and sources that overlap."""

from __future__ import annotations

from pipeline.store.base import Entry, Listing


class SeenFiles:
    """Collects all names under which files of one store are found.

    Args:
        url: The store's root, to compare paths below it with the targets of links.
    """

    def __init__(self, url: str) -> None:
        self._url = "" if url == "/" else url
        self._entries: dict[str, Entry] = {}
        self._real: dict[str, str] = {}
        self._linked: dict[str, tuple[int, ...]] = {}

    def add(self, listing: Listing) -> None:
        """Add the files of a listing; a path that is known already counts once.

        Args:
            listing: What lies below a source.
        """
        self._entries |= {entry.path: entry for entry in listing.files}
        self._real |= listing.real
        self._linked |= listing.linked

    def once(self) -> tuple[list[Entry], dict[str, list[str]]]:
        """Choose one name for each file: one that is no link if there is one, and the first of several such.

        Returns:
            The files, each once, sorted by path; and the other names of those that have several, by the chosen one.
        """
        known: dict[object, str] = {}
        chosen: list[Entry] = []
        others: dict[str, list[str]] = {}
        for path in sorted(self._entries, key=lambda path: (path in self._real, path)):
            keys: list[object] = [self._real.get(path, f"{self._url}/{path}")]
            keys += [self._linked[path]] if path in self._linked else []
            first = next((known[key] for key in keys if key in known), None)
            known |= dict.fromkeys(keys, first or path)
            if first is None:
                chosen.append(self._entries[path])
            else:
                others.setdefault(first, []).append(path)
        return sorted(chosen), others
