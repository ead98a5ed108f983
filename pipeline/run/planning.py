"""What is to be done next: the plan that is not finished, or a new one for the files that no plan names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any

from models.runtime.package import Models
from pipeline.config import TEXT_SEPARATOR, TagConfig
from pipeline.contract import DocumentSpec, Split, TextOptions, document_spec_from
from pipeline.errors import ConfigError, OutputError, StoreError
from pipeline.run.redo import FilesToRetag, check_patterns
from pipeline.sink import ledger
from pipeline.sink.files import try_delete
from pipeline.sink.layout import NEXT
from pipeline.sink.plan_log import AGAIN, Plan, PlanHead
from pipeline.sink.plans import PlanLog, PlannedFile
from pipeline.sink.supersede import check
from pipeline.sink.token_ratios import tokens_per_byte
from pipeline.source.discover import KNOWN, NO_SUFFIX, OTHER, Discovered, discover, partitions_of
from pipeline.source.heads import HeadColumns, read_heads
from pipeline.source.splitting import all_fragments, pack
from pipeline.store.base import Entry, Store
from pipeline.store.open import open_store
from pipeline.store.resolve import is_inside

# What a plan says of where the first plan's input was, if it was elsewhere.
FIRST_ROOT = "first_root"


def columns_of(plan: Plan | PlanHead) -> DocumentSpec:
    """Return which columns the documents of a plan are read from, and how.

    Args:
        plan: Its settings tell; where its input is not where that of the output's first plan was, both roots are in the result.
    """
    columns, first = document_spec_from(plan.settings["columns"]), plan.settings.get(FIRST_ROOT)
    return columns if first is None else replace(columns, root=plan.root, first_root=first)


class Planner:
    """Gives plan after plan: first those that are not finished, then new ones for files that no plan names.

    Args:
        options: Settings of the run.
        models: Models that the run tags with; their digest is among a plan's settings.
        store: The output.
        say: Called with a line for the user when something takes long.

    Attributes:
        log: Plans of the output.
        tried: Numbers of plans that are not to be given again.
        redo: Files that are tagged again, and those that need it and cannot be.
        unreadable: Folders and files that could not be looked at, so that this run cannot be complete, with the error of each.
        skipped: How many files are left alone, by reason; see `discover`.
        examples: Some of those files, by reason.
        files: Number of files in the input.
        peeked: Columns of those files that were looked into.
    """

    def __init__(
        self, options: TagConfig, models: Models, store: Store, say: Callable[[str], object] = lambda line: None
    ) -> None:
        self._say = say
        self._options, self._models, self._store = options, models, store
        self.log = PlanLog(store)
        self._retag = options.retag
        self.tried: set[int] = set()
        self.redo = FilesToRetag(options, store, self.log)
        self.unreadable: dict[str, StoreError] = {}
        self.skipped: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self.files = 0
        self.peeked = HeadColumns()
        self._found: Discovered | None = None
        self._known = False  # whether the log is that of now: whoever holds the claim alone adds to it

    def next(self) -> Plan | None:
        """Give the plan to work on.

        Returns:
            A plan that is not finished, else a new one, which is in the log already; None if every file of the input is in a
            finished plan and none is to be tagged again.

        Raises:
            OutputError: The output was made with other settings, or a part does not tell which file each of its rows is from,
                though one of its files is to be tagged again.
            ConfigError: The input is not there, or the output lies inside it.
            StoreError: Nothing of the input can be looked at.
        """
        log = self.log
        self._look_at_log()
        found, self._found = self._found, None
        left = next((head for head in log.mine if head.number not in log.done | self.tried), None)
        if left is not None:
            self._retag = self._retag and (log.newest == log.current or self._differs(left) is not None)
        if left is None or self._retag:
            return self._new(self._look() if found is None else found, peeking=True)
        ledger.recover(self._store, ledger.parts(self._store))
        self._check_settings(left)
        return log.plan(left.number)

    def begun_again(self) -> Iterator[Plan]:
        """Give the unfinished plans of files that are tagged again.

        Yields:
            Whole plans of the newest generation.
        """
        self._look_at_log()
        for head in self.log.mine:
            if head.again and head.number not in self.log.done:
                yield self.log.plan(head.number)

    def _look_at_log(self) -> None:
        if not self._known:
            self.log.look()
            self._known = True

    def _new(self, found: Discovered, peeking: bool = False) -> Plan | None:
        log, mine = self.log, self.log.mine
        generation = mine[0].generation if mine else 1
        if self._retag and mine:
            generation, mine = generation + 1, []
            try_delete(self._store, NEXT)
        self._retag = False
        if mine:
            self._check_settings(mine[-1])
        named = log.named() if mine else {}
        new, again = [entry for entry in found.files if self._is_new(found, entry, named)], False
        if not new and mine:
            self.redo.look(found, named)
            new, again = self._again(found), True
            if not new:
                return None
        columns = self._columns(found, mine[-1] if mine else None)
        if peeking and mine:
            self._peek(found, new, columns)  # of these columns it is known that they are somewhere
        # Files of one priority share splits; the sort is stable, so that paths stay in order.
        new.sort(key=lambda entry: -self._options.priority_of(entry.path))
        number = max((head.number for head in log.heads), default=0) + 1
        settings = self._settings(columns) | ({AGAIN: True} if again else {})
        if mine and mine[0].root != found.store.url:
            settings[FIRST_ROOT] = mine[0].root
        plan = Plan(number, generation, found.store.url, settings, tuple(self._splits(found, new, number, columns)))
        if log.add(plan):
            return plan
        self._known = False  # another planner was first: look again
        return self.next()

    def _again(self, found: Discovered) -> list[Entry]:
        """Files that were tagged before and are tagged again, once all that is planned is done."""
        chosen = self.redo.chosen
        if not chosen or any(head.number not in self.log.done for head in self.log.mine):
            return []
        check(self._store, self.log, {entry.path for entry in chosen}, found.store.url)
        self.redo.begun(found.store)
        return chosen

    def arrivals(self) -> Plan | None:
        """Plan the files that have come since the newest plan, while that one is still being worked on.

        Returns:
            A new plan, or None if no file has come.

        Raises:
            OutputError: The output was made with other settings.
            ConfigError: The input is not there, or the output lies inside it.
            StoreError: Nothing of the input can be looked at.
        """
        return self._new(self._look())

    def _splits(self, found: Discovered, entries: list[Entry], number: int, columns: DocumentSpec) -> Iterator[Split]:
        target, count = self._options.split_tokens, 0
        known = tokens_per_byte(self.log)
        for _, group in groupby(entries, key=lambda entry: self._options.priority_of(entry.path)):
            for split in pack(all_fragments(found.store, group, target, columns, known, self._say), number, target):
                yield replace(split, number=count)
                count += 1

    def _is_new(self, found: Discovered, entry: Entry, named: Mapping[str, PlannedFile]) -> bool:
        """Whether no plan names a file, nor did by a name that was its only one then."""
        names, now = found.also.get(entry.path, ()), (entry.size, entry.modified_ns)
        known = (named.get(f"{found.store.url}/{name}") for name in names)
        return f"{found.store.url}/{entry.path}" not in named and all(one is None or one[:2] != now for one in known)

    def look(self) -> None:
        """Look at the input; the next plan is made of what is seen now.

        Raises:
            ConfigError: There is no input; the output lies inside it; the output is new, and no file that is looked into has one
                of the columns that were asked for; or a pattern of files to be tagged again matches none.
            StoreError: Nothing of the input can be looked at.
        """
        self._found = self._look()
        if self._options.only is None:
            check_patterns(self._options, self._found)
        if not self._retag:
            self.log.look()
        if self._retag or not self.log.heads:
            self._check_formats(self._found)
            self._peek(self._found, self._found.files, self._options.columns)
            check_columns(self._options, self.peeked)

    def _check_formats(self, found: Discovered) -> None:
        others = sum(found.skipped[reason] for reason in (OTHER, NO_SUFFIX))
        if others and not found.files:
            some = ", ".join(path for reason in (NO_SUFFIX, OTHER) for path in found.examples.get(reason, ()))
            raise ConfigError(f"{', '.join(self._options.sources)}: {others:,} files ({some}), {KNOWN}")

    def _peek(self, found: Discovered, entries: list[Entry], columns: DocumentSpec) -> None:
        self.peeked = read_heads(found.store, entries, columns, self._options.asked_columns.values())

    def seen_of(self, plan: Plan, splits: Sequence[Split]) -> HeadColumns:
        """Tell which columns the files of some splits have, as far as they are looked into; it is reused if they were already.

        Args:
            plan: Tells the root and the columns.
            splits: Splits of that plan.

        Returns:
            What a sample of the files shows; or what `look` has seen, if it looked into one of them.
        """
        files = {piece.path: Entry(piece.path, piece.size, piece.modified_ns) for split in splits for piece in split.fragments}
        if not self.peeked.paths.isdisjoint(files):
            return self.peeked
        return read_heads(open_store(plan.root, self._options.store), list(files.values()), columns_of(plan), ())

    def _look(self) -> Discovered:
        for source in self._options.sources:
            if is_inside(self._store.url, source):
                raise ConfigError(f"{self._store.url} lies inside the input {source}; the next run would read it")
        found = discover(self._options.sources, self._options.store, unnamed=self._options.format)
        if (only := self._options.only) is not None:
            chosen = set(only)
            found.files = [entry for entry in found.files if (entry.path, entry.size, entry.modified_ns) in chosen]
            found.unreadable = {}  # of what lies beside the chosen files
        self.skipped, self.examples, self.unreadable = found.skipped, found.examples, found.unreadable
        self.files = len(found.files)
        if found.unreadable and not found.files:
            raise next(iter(found.unreadable.values()))
        return found

    def _columns(self, found: Discovered, latest: PlanHead | None) -> DocumentSpec:
        given = self._options.columns
        keys = dict.fromkeys(key for entry in found.files for key in partitions_of(entry.path))
        mine = tuple(key for key in keys if key not in (*given.keep, given.source))
        if latest is None:
            return replace(given, partitions=mine)
        carried = columns_of(latest).partitions
        if unknown := set(mine) - set(carried):
            raise OutputError(
                f"folders {', '.join(sorted(unknown))}= are new in the input, and {self._store.url} has no such column; "
                "name another output, or give --retag"
            )
        return _continued(given, latest)

    def _settings(self, columns: DocumentSpec) -> dict[str, Any]:
        """All that the tags depend on, beside the input."""
        return {"model": self._models.name, "model_digest": self._models.digest, "columns": _settings_of(columns)}

    def _differs(self, plan: PlanHead) -> tuple[str, Any, Any] | None:
        """The first setting that is not what it was: its name, the value of then, that of now."""
        now = self._settings(_continued(self._options.columns, plan))
        then = plan.settings
        pairs = [(key, then[key], now[key]) for key in ("model", "model_digest")]
        given = (
            _settings_of(DocumentSpec())
            | {"reading": _settings_of(DocumentSpec(reading=TextOptions.usual()))["reading"]}
            | then["columns"]
        )
        before, after = given | given.pop("reading"), now["columns"] | now["columns"].pop("reading")
        pairs += [(key, before.get(key), value) for key, value in after.items()]
        return next((pair for pair in pairs if pair[1] != pair[2]), None)

    def _check_settings(self, plan: PlanHead) -> None:
        if differs := self._differs(plan):
            key, before, value = differs
            key = "columns under their usual names" if key == "usual" else key
            raise OutputError(
                f"{self._store.url} was tagged with {key} {before!r}, not {value!r}; name another output, or give --retag"
            )


_HEADLESS = "--columns says the names of columns where files have no header. "


def check_columns(options: TagConfig, peeked: HeadColumns) -> None:
    """Refuse a column that was asked for and that none of the files that were looked into has.

    Args:
        options: Settings of the run; if `absent_columns` is `allow`, nothing is refused.
        peeked: What was seen of the files.

    Raises:
        ConfigError: Such a column; the message names those there are.
    """
    if options.absent_columns == "allow":
        return
    for setting, column in options.asked_columns.items():
        if peeked.files and len(peeked.lacking[column]) == peeked.files:
            nearest = peeked.nearest(column)
            raise ConfigError(
                f"{setting.replace('_', ' ')}: no column {column!r} in {peeked.files:,} files that were looked into"
                + (f"; is it {nearest!r}?" if nearest is not None else ".")
                + f" There are: {peeked.named()}. {_HEADLESS if setting == 'text_column' and peeked.delimited else ''}"
                "--set absent_columns=allow tags them nevertheless"
            )


def _settings_of(columns: DocumentSpec) -> dict[str, Any]:
    found: dict[str, Any] = _plain({key: value for key, value in asdict(columns).items() if key not in ("root", FIRST_ROOT)})
    return found


def _continued(columns: DocumentSpec, plan: PlanHead) -> DocumentSpec:
    """The columns for an output that a plan has begun: with its partitions, and as its version read them.

    What a plan of an earlier version did not look for is left out, so that such an output goes on as it was begun.
    """
    if columns_of(plan).separator is None:  # as no plan of this version says
        separator = None if columns.separator == TEXT_SEPARATOR else columns.separator
        columns = replace(columns, usual=(), separator=separator)
    return replace(columns, partitions=columns_of(plan).partitions)


def _plain(value: Any) -> Any:
    """As JSON gives it back: lists for tuples."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return list(value) if isinstance(value, tuple) else value
