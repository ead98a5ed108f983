"""Find the files of the input that hold documents, and say which are left alone and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote

from pipeline.errors import ConfigError, StoreError
from pipeline.source.contents import told_by_bytes
from pipeline.source.duplicates import SeenFiles
from pipeline.source.formats import PACKED, SUFFIXES, format_of
from pipeline.source.lake import DELTA_LOG, without_what_no_snapshot_names
from pipeline.store.base import Entry, Listing, Store
from pipeline.store.open import join_url, open_store
from pipeline.store.resolve import HIDDEN, ResolvedSource, resolve_sources, unasked
from pipeline.store.settings import StoreConfig
from pipeline.store.walk import AGAIN

UNFINISHED = (".tmp", "._copying_", ".inprogress", ".part", ".partial", ".filepart", ".crdownload", ".download")
# Names that tell no known format; of the second kind of files --format says what they are.
OTHER, NO_SUFFIX = "other format", "no suffix that tells the format"
# So many files of a kind are named where they are told of.
EXAMPLES = 3


@dataclass(slots=True)
class Discovered:
    """The files of the input, and what is known of those that are left alone.

    Attributes:
        store: Holds the files; all paths are below its root.
        files: The files with documents, each once, sorted by path.
        skipped: How many files, or folders with all that is in them, are left alone, by reason.
        examples: Paths of some of these, by reason, fit for messages.
        marks: Files of the names that were asked for, by path, whether they hold documents or not.
        also: Other names of a file, by the path under which it is read.
        unreadable: Folders and files that cannot be looked at, by path.
    """

    store: Store
    files: list[Entry] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    marks: dict[str, Entry] = field(default_factory=dict)
    also: dict[str, list[str]] = field(default_factory=dict)
    unreadable: dict[str, StoreError] = field(default_factory=dict)

    def skip(self, path: str, reason: str) -> None:
        """Note a file, or a folder with all that is in it, that is left alone.

        Args:
            path: Its path below the store's root.
            reason: Why, in words by which it is counted.
        """
        self.skipped[reason] += 1
        if len(some := self.examples.setdefault(reason, [])) < EXAMPLES:
            some.append(shown(path))


def shown(path: str) -> str:
    """Return a path fit for messages: what is not printable, or no UTF-8, is escaped as in Python's string literals.

    Args:
        path: As the file system gives it.
    """
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in path)


def partitions_of(path: str) -> dict[str, str | None]:
    """Read the keys and values of Hive-style folders.

    Args:
        path: Path of a file; its own name is not looked at.

    Returns:
        Values by key: `dt=2026-11-22/a.jsonl` gives `{"dt": "2026-11-22"}`. Hive's default partition is None.
    """
    found: dict[str, str | None] = {}
    for folder in path.split("/")[:-1]:
        key, equals, value = folder.partition("=")
        if equals and key:
            found[key] = None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
    return found


def discover(
    sources: Sequence[str], config: StoreConfig | None = None, marks: Collection[str] = (), unnamed: str = ""
) -> Discovered:
    """Find the documents' files in files, folders and what patterns match, each once, whatever names or links lead to it.

    Paths are relative to the folder that all sources share. Skipped and counted are files that are hidden, empty, unfinished, of
    no known format or with a name that is not UTF-8, what is no regular file, and files of a Delta or Iceberg table that its
    newest snapshot does not name.

    Args:
        sources: Paths or URLs of files and folders, or patterns.
        config: How remote stores are opened.
        marks: Names of files that are reported beside the documents, as the listing that finds the documents shows them. Next to
            a source that is a file the store is asked for each of them.
        unnamed: The format of files whose names tell none: of those that are named as sources, and in folders of those without a
            suffix. If it is empty, such files are read if their first bytes tell the format.

    Returns:
        The files, and what is left alone.

    Raises:
        ConfigError: A source does not exist, matches nothing or is a file that cannot be read; the sources lie on several file
            systems; or a table cannot be read file by file.
    """
    tops = [resolve_sources(source, config) for source in sources]
    if len({(top.scheme, top.authority) for top in tops}) > 1:
        raise ConfigError(f"{', '.join(sources)}: on several file systems; tag them one after the other, into one output each")
    root = _shared([top.path if top.folder else top.path.parent for top in tops])
    store = open_store(join_url(tops[0].scheme, tops[0].authority, "" if str(root) == "/" else str(root)), config)
    found = Discovered(store)
    names = SeenFiles(store.url)
    beside = set[str]()  # paths at which there may be marks that no listing shows
    for source, top in zip(sources, tops, strict=True):
        inside = top.path.relative_to(root).as_posix()
        inside = "" if inside == "." else inside
        told = found.skipped.total() + len(found.marks) + len(found.unreadable)
        listing = _Sieve(found, inside, top, marks, unnamed).sifted()
        names.add(listing)
        if not top.folder:
            beside.update(f"{inside.rpartition('/')[0]}/{mark}".lstrip("/") for mark in marks)
        elif top.pattern and not listing.files and told == found.skipped.total() + len(found.marks) + len(found.unreadable):
            raise ConfigError(f"{source}: no file matches")
    _ask(found, beside - found.marks.keys())
    files, found.also = names.once()
    for path in (path for others in found.also.values() for path in others):
        found.skip(path, AGAIN)
    for entry in files:
        if store.is_being_written(entry):
            found.skip(entry.path, "unfinished")
        else:
            found.files.append(entry)
    return found


class _Sieve:
    """What a source names, without what is left alone; that is told to `found`."""

    def __init__(self, found: Discovered, inside: str, top: ResolvedSource, marks: Collection[str], unnamed: str) -> None:
        self._found, self._inside, self._top, self._marks, self._unnamed = found, inside, top, marks, unnamed
        self._logs: list[Entry] = []  # of Delta tables, which are hidden folders

    def sifted(self) -> Listing:
        found = self._found
        listing = found.store.survey(self._inside, self._enters)
        for path, reason in listing.odd.items():
            if self._ways(path):
                found.skip(path, reason)
        found.unreadable |= {path: error for path, error in listing.failed.items() if self._ways(path, partly=True)}
        files = []
        for entry, stale in without_what_no_snapshot_names(found.store, [*listing.files, *self._logs]):
            if entry in self._logs:
                continue
            if stale:
                found.skip(entry.path, "not in the table's snapshot")
            elif self._is_wanted(entry):
                files.append(entry)
        listing.files = files
        return listing

    def _ways(self, path: str, partly: bool = False) -> list[tuple[str, ...]]:
        """For every way in which the source names a path, the parts of it that were not asked for by name."""
        below = path[len(self._inside) + 1 :] if self._inside else path
        return list(unasked(tuple(below.split("/")) if below else (), self._top.pattern, partly))

    def _enters(self, folder: str) -> bool:
        ways = self._ways(folder, partly=True)
        if ways and folder.rpartition("/")[2] == DELTA_LOG:
            self._logs += self._found.store.list(folder)
        if ways and all(map(_is_hidden, ways)):
            self._found.skip(folder, "hidden")
            return False
        return bool(ways)

    def _is_wanted(self, entry: Entry) -> bool:
        found, path = self._found, entry.path
        if self._top.folder and path.rpartition("/")[2] in self._marks:
            found.marks[path] = entry
        if not (ways := self._ways(path)):
            return False
        reason = "hidden" if all(map(_is_hidden, ways)) else _not_documents(entry)
        if reason == NO_SUFFIX or (reason == OTHER and not self._top.folder):
            reason = None if self._unnamed or told_by_bytes(found.store, entry) else reason
        if not self._top.folder and reason not in (None, "empty"):
            raise ConfigError(f"{shown(str(self._top.path))}: {_REMEDIES[reason]}")
        if reason is not None:
            found.skip(path, reason)
        return reason is None


def _is_hidden(names: Sequence[str]) -> bool:
    """Whether one of the names is that of something that is left alone; a folder such as `_year=2026` is a partition."""
    return any(name.startswith(HIDDEN) and not (name[0] == "_" and "=" in name) for name in names)


def _not_documents(entry: Entry) -> str | None:
    """Why a file that is not hidden is left alone; None if it holds documents."""
    try:
        entry.path.encode()
    except UnicodeEncodeError:
        return "name is not UTF-8"  # no plan can name it
    if entry.size == 0:
        return "empty"
    if entry.path.lower().endswith(UNFINISHED):
        return "unfinished"
    if format_of(entry.path):
        return None
    return OTHER if PurePosixPath(entry.path).suffix else NO_SUFFIX


KNOWN = (
    f"not a known format; names end in {', '.join(SUFFIXES)}, and in {', '.join(PACKED)} behind it; "
    "--format says in which format files of other names are"
)
_REMEDIES: dict[str | None, str] = {
    "name is not UTF-8": "the name is not UTF-8; rename the file",
    "unfinished": "by its name it is still being written; rename it when it is whole",
    OTHER: KNOWN,
    NO_SUFFIX: KNOWN,
}


def _ask(found: Discovered, paths: Collection[str]) -> None:
    """Look for marks where nothing is listed; one that cannot be asked for is none."""
    for path in sorted(paths):
        with suppress(StoreError):
            if (mark := found.store.stat(path)) is not None:
                found.marks[path] = mark


def _shared(folders: Sequence[PurePosixPath]) -> PurePosixPath:
    shared = folders[0]
    while not all(folder.is_relative_to(shared) for folder in folders):
        shared = shared.parent
    return shared
