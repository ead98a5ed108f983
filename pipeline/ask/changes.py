"""What has changed in an output since a generation was made: which parts are new, which are gone.

A part's name may come to bear another file, as when files are tagged again. Whether it does is seen by size and time in the
listing, without a read. A time can be trusted only if it is older than another one of the same listing: then the store's clock
had gone on, and whatever took the part's place later has a later time. The footers of younger parts are read again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from pipeline.ask.generations import IndexedPart
from pipeline.errors import ConfigError
from pipeline.sink.attempt import read_footer
from pipeline.sink.layout import PLANS, TAGS
from pipeline.store.base import Entry, Store

# Stores write times in steps of up to a second, and the clocks of their servers differ a little.
STEP_NS = 2 * 10**9


@dataclass(frozen=True, slots=True)
class PartChanges:
    """What an output holds beside a generation.

    Attributes:
        same: The parts that are in the generation as they are, by path.
        new: Those that are not, or were another file; their attempts are not known yet.
        gone: Paths that are in the generation and no longer there, or as another file.
        read: How many footers were read.
    """

    same: dict[str, IndexedPart]
    new: dict[str, IndexedPart]
    gone: list[str]
    read: int


def changes(store: Store, known: dict[str, IndexedPart]) -> PartChanges:
    """Find what has changed.

    Args:
        store: The output.
        known: The parts of the generation.

    Returns:
        What has changed.

    Raises:
        ConfigError: This is no output of `textmill tag`.
        MissingError: A part has vanished just now.
        OutputError: A file among the tags is no part.
    """
    listed = {entry.path: entry for entry in store.list(TAGS) if entry.path.endswith(".parquet")}
    if not listed and next(iter(store.list(PLANS)), None) is None:
        raise ConfigError(f"{store.url}: no {TAGS}/ in it; is it the output folder of `textmill tag`?")
    newest_ns = max((entry.modified_ns for entry in listed.values()), default=0)
    now = {path: _seen(entry, newest_ns) for path, entry in listed.items()}
    doubtful = [path for path, part in now.items() if path in known and not _is_as_known(part, known[path])]
    with ThreadPoolExecutor(store.read_concurrency, "textmill-footer") as pool:
        attempts = pool.map(lambda path: str(read_footer(store, path)["attempt"]), doubtful)
        asked = dict(zip(doubtful, attempts, strict=True))
    same = {
        path: replace(part, attempt=known[path].attempt)
        for path, part in now.items()
        if path in known and asked.get(path, known[path].attempt) == known[path].attempt
    }
    new = {path: part for path, part in now.items() if path not in same}
    return PartChanges(same, new, sorted(path for path in known if path not in same), len(doubtful))


def _seen(entry: Entry, newest_ns: int) -> IndexedPart:
    return IndexedPart("", entry.size, entry.modified_ns if entry.modified_ns + STEP_NS <= newest_ns else 0)


def _is_as_known(part: IndexedPart, known: IndexedPart) -> bool:
    return part.modified_ns > 0 and (part.size, part.modified_ns) == (known.size, known.modified_ns)
