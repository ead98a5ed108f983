"""Which files of the input are tagged again, file by file, though a finished plan names them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from difflib import get_close_matches
from fnmatch import fnmatch

from pipeline.config import TagConfig
from pipeline.errors import ConfigError, InputChangedError, OutputError, StoreError, UnavailableError
from pipeline.sink.layout import DEAD_LETTERS, PIPES
from pipeline.sink.plans import PlanLog, PlannedFile
from pipeline.source.archives import outer
from pipeline.source.discover import EXAMPLES, Discovered, shown
from pipeline.store.base import Entry, Store
from pipeline.store.parquet import read_table

# With so many paths a pattern that matches none is compared.
_LIKENED = 10_000


class FilesToRetag:
    """Decides which files that a plan names already are tagged again.

    Args:
        options: Settings of the run.
        output: The output.
        log: Plans of the output.

    Attributes:
        chosen: Files that are to be tagged again, each once a run.
        lost: Files that could not be read when they were tagged, and still cannot, with the reason, by path.
        changed: Files that are not what they were, and that nobody asked to tag again, with the error of each, by path.
        with_dead_letters: Paths of files of which there are dead letters; empty unless these were asked for.
    """

    def __init__(self, options: TagConfig, output: Store, log: PlanLog) -> None:
        self._options, self._output, self._log = options, output, log
        self._done: set[str] = set()
        self.chosen: list[Entry] = []
        self.lost: dict[str, str] = {}
        self.changed: dict[str, Exception] = {}
        self.with_dead_letters: set[str] = set()

    def look(self, found: Discovered, named: Mapping[str, PlannedFile]) -> None:
        """Decide anew for the files of the input.

        Args:
            found: Files of the input.
            named: Files that plans name, by whole path, as `PlanLog.named` gives them.

        Raises:
            OutputError: The record of lost files cannot be read.
            UnavailableError: The store does not answer for now.
        """
        root = found.store
        # What came out of a pipe has a name that tells what is in it: another time means nothing.
        spooled = root.url == f"{self._output.url}/{PIPES}"
        self.chosen, self.lost, self.changed = [], {}, {}
        try:
            lost = self._log.lost(named)
        except ValueError as error:
            raise OutputError(f"{self._output.url}: which files were lost cannot be read ({error})") from error
        dead = self._with_dead_letters() if self._options.retry_dead_letters else frozenset()
        for entry in found.files:
            whole = f"{root.url}/{entry.path}"
            before = named.get(whole)
            if before is None:
                continue
            changed = before.size != entry.size or (before.modified_ns != entry.modified_ns and not spooled)
            asked = any(fnmatch(entry.path, glob) for glob in self._options.retag_files)
            trouble = lost.get(whole)
            if (before.plan, entry.path) in dead:
                self.with_dead_letters.add(entry.path)
            if whole not in self._done and (
                asked
                or (before.plan, entry.path) in dead
                or (trouble is not None and (changed or (trouble[0] != "broken" and _opens(root, entry.path))))
            ):
                self.chosen.append(entry)
            elif trouble is not None:
                self.lost[entry.path] = trouble[1]
            elif changed:
                text = "changed since it was tagged; give --retag-files with its path to tag it anew"
                self.changed[entry.path] = InputChangedError(entry.path, text)

    def begun(self, root: Store) -> None:
        """Note that the chosen files are planned: none of them is chosen again in this run.

        Args:
            root: Root of the input.
        """
        self._done.update(f"{root.url}/{entry.path}" for entry in self.chosen)
        self.chosen = []

    def _with_dead_letters(self) -> Set[tuple[int, str]]:
        """Number of the plan and path of the files of which there are dead letters."""
        found: set[tuple[int, str]] = set()
        for entry in self._output.list(DEAD_LETTERS):
            plan = int(entry.path.rsplit("/", 1)[-1].split("-")[1])
            with self._output.open_read(entry.path) as stream:
                paths = read_table(stream, ["path"])["path"].unique().to_pylist()
            found.update((plan, name) for path in paths for name in (path, outer(path)))
        return found


def check_patterns(options: TagConfig, found: Discovered) -> None:
    """Refuse a pattern of files to be tagged again that matches no file of the input.

    Args:
        options: Settings of the run; the patterns are its `retag_files`.
        found: Files of the input.

    Raises:
        ConfigError: There is such a pattern; the message names the path most like it.
    """
    for glob in options.retag_files:
        if not any(fnmatch(entry.path, glob) for entry in found.files):
            some = [entry.path for entry in found.files[:_LIKENED]]
            near = get_close_matches(glob, some, 1, 0.5)
            others = ", ".join(map(shown, some[:EXAMPLES]))
            told = f"is it {shown(near[0])!r}?" if near else f"there are {others}" + (", ..." if len(some) > EXAMPLES else "")
            raise ConfigError(f"retag files: no file of the input matches {glob!r}, by its path below {found.store.url}; {told}")


def _opens(store: Store, path: str) -> bool:
    """Whether a file that could not be opened can be now."""
    try:
        with store.open_read(path) as stream:
            stream.read(1)
    except UnavailableError:
        raise
    except (StoreError, OSError):
        return False
    return True
