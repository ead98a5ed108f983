"""What is to be done next: the plan that is not finished, or a new one for the files that no plan names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import groupby
from typing import Any

from models.runtime.package import Models
from pipeline.config import TagConfig
from pipeline.contract import Columns, Reading, Split
from pipeline.errors import ConfigError, InputChangedError, OutputError, StoreError
from pipeline.sink import ledger
from pipeline.sink.files import NEXT, drop
from pipeline.sink.history import tokens_a_byte
from pipeline.sink.plan_log import Head, Plan
from pipeline.sink.plans import PlanLog
from pipeline.source.discover import KNOWN, NO_SUFFIX, OTHER, Found, discover, partitions_of
from pipeline.source.heads import Peeked, peek
from pipeline.source.pack import all_fragments, pack
from pipeline.source.piped import PIPES
from pipeline.store.base import Entry, Store
from pipeline.store.finding import is_inside

# What a plan says of where the first plan's input was, if it was elsewhere.
FIRST_ROOT = "first_root"


def columns_of(plan: Plan | Head) -> Columns:
    """The columns that a plan was made with."""
    given = plan.settings["columns"]
    reading = dict(given.get("reading", {}))
    reading["header"] = tuple(reading.get("header", ()))
    lists = {key: tuple(given[key]) for key in ("keep", "partitions")}
    columns = Columns(**{**given, **lists, "reading": Reading(**reading)})
    first = plan.settings.get(FIRST_ROOT)
    return columns if first is None else replace(columns, root=plan.root, first_root=first)


class Planner:
    """Gives plan after plan.

    `log`: the plans there are; `tried`: those that are not to be given again. `changed`: files that are no longer what a plan
    has named; `unreadable`: folders and files that could not be looked at, so that this run cannot be whole; `skipped` and
    `examples`: see `discover`; `files`: how many the input holds; `peeked`: their columns, as far as they were looked into.
    """

    def __init__(self, options: TagConfig, models: Models, store: Store) -> None:
        self._options, self._models, self._store = options, models, store
        self.log = PlanLog(store)
        self._retag = options.retag
        self.tried: set[int] = set()
        self.changed: dict[str, Exception] = {}
        self.unreadable: dict[str, StoreError] = {}
        self.skipped: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self.files = 0
        self.peeked = Peeked()
        self._found: Found | None = None
        self._known = False  # whether the log is that of now: whoever holds the claim alone adds to it

    def next(self) -> Plan | None:
        """The plan to work on, or None if every file of the input is in a finished plan.

        Raises OutputError if the output was made with other settings, ConfigError if the input is not there.
        """
        log = self.log
        if not self._known:
            log.look()
            self._known = True
        found, self._found = self._found, None
        left = next((head for head in log.mine if head.number not in log.done | self.tried), None)
        if left is not None:
            self._retag = self._retag and (log.newest == log.current or self._differs(left) is not None)
        if left is None or self._retag:
            return self._new(self._look() if found is None else found, peeking=True)
        ledger.recover(self._store, ledger.parts(self._store))
        self._check_settings(left)
        return log.plan(left.number)

    def _new(self, found: Found, peeking: bool = False) -> Plan | None:
        log, mine = self.log, self.log.mine
        generation = mine[0].generation if mine else 1
        if self._retag and mine:
            generation, mine = generation + 1, []
            drop(self._store, NEXT)
        self._retag = False
        if mine:
            self._check_settings(mine[-1])
        new = self._unnamed(found, log.named() if mine else {})
        if not new and mine:
            return None
        if peeking and mine:
            self._peek(found, new)  # of these columns it is known that they are somewhere
        columns = self._columns(found, mine[-1] if mine else None)
        # Files of one priority share splits; the sort is stable, so that paths stay in order.
        new.sort(key=lambda entry: -self._options.priority_of(entry.path))
        number = max((head.number for head in log.heads), default=0) + 1
        settings = self._settings(columns)
        if mine and mine[0].root != found.store.url:
            settings[FIRST_ROOT] = mine[0].root
        plan = Plan(number, generation, found.store.url, settings, tuple(self._splits(found, new, number, columns)))
        if log.add(plan):
            return plan
        self._known = False  # another planner was first: look again
        return self.next()

    def arrivals(self) -> Plan | None:
        """A plan of the files that have come since the newest one, while that one is still worked on; None if there are none.

        Raises what `next` raises.
        """
        return self._new(self._look())

    def _splits(self, found: Found, entries: list[Entry], number: int, columns: Columns) -> Iterator[Split]:
        target, count = self._options.split_tokens, 0
        known = tokens_a_byte(self.log)
        for _, group in groupby(entries, key=lambda entry: self._options.priority_of(entry.path)):
            for split in pack(all_fragments(found.store, group, target, columns, known), number, target):
                yield replace(split, number=count)
                count += 1

    def _unnamed(self, found: Found, known: dict[str, tuple[int, int]]) -> list[Entry]:
        self.changed = {}
        new = []
        for entry in found.files:
            before, now = known.get(f"{found.store.url}/{entry.path}"), (entry.size, entry.modified_ns)
            if before is None:
                # A plan may have named it by a name that was its only one then.
                if all(known.get(f"{found.store.url}/{name}") != now for name in found.also.get(entry.path, ())):
                    new.append(entry)
            elif before != now and not self._is_spooled(found, before, now):
                text = f"{entry.path}: changed since it was tagged; give --retag to tag everything anew"
                self.changed[entry.path] = InputChangedError(text)
        return new

    def _is_spooled(self, found: Found, before: tuple[int, int], now: tuple[int, int]) -> bool:
        """Whether a file is what came out of a pipe, whose name tells what is in it, so that another time means nothing."""
        return found.store.url == f"{self._store.url}/{PIPES}" and before[0] == now[0]

    def look(self) -> None:
        """Look at the input; the next plan is of what is seen now. Raises ConfigError if there is no input, if the output lies
        in it, or if it is new and no file that is looked into has one of the columns that were asked for.
        """
        self._found = self._look()
        if not self._retag:
            self.log.look()
        if self._retag or not self.log.heads:
            self._check_formats(self._found)
            self._peek(self._found, self._found.files)
            check_columns(self._options, self.peeked)

    def _check_formats(self, found: Found) -> None:
        others = sum(found.skipped[reason] for reason in (OTHER, NO_SUFFIX))
        if others and not found.files:
            some = ", ".join(path for reason in (NO_SUFFIX, OTHER) for path in found.examples.get(reason, ()))
            raise ConfigError(f"{', '.join(self._options.sources)}: {others:,} files ({some}), {KNOWN}")

    def _peek(self, found: Found, entries: list[Entry]) -> None:
        asked = self._options.asked_columns.values()
        self.peeked = peek(found.store, entries, self._options.columns, asked)

    def _look(self) -> Found:
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

    def _columns(self, found: Found, latest: Head | None) -> Columns:
        given = self._options.columns
        keys = dict.fromkeys(key for entry in found.files for key in partitions_of(entry.path))
        mine = tuple(key for key in keys if key not in (*given.keep, given.source))
        if latest is None:
            return _with(given, mine)
        carried = columns_of(latest).partitions
        if unknown := set(mine) - set(carried):
            raise OutputError(
                f"folders {', '.join(sorted(unknown))}= are new in the input, and {self._store.url} has no such column; "
                "name another output, or give --retag"
            )
        return _with(given, carried)

    def _settings(self, columns: Columns) -> dict[str, Any]:
        """All that the tags depend on, beside the input."""
        chosen = {key: value for key, value in _plain(asdict(columns)).items() if key not in ("root", FIRST_ROOT)}
        return {"model": self._models.name, "model_digest": self._models.digest, "columns": chosen}

    def _differs(self, plan: Head) -> tuple[str, Any, Any] | None:
        """The first setting that is not what it was: its name, the value of then, that of now."""
        now = self._settings(_with(self._options.columns, columns_of(plan).partitions))
        then = plan.settings
        pairs = [(key, then[key], now[key]) for key in ("model", "model_digest")]
        pairs += [(key, then["columns"].get(key), value) for key, value in now["columns"].items() if key != "reading"]
        # An output of before 0.2 goes on if nothing else is said; files that it read rightly are read the same.
        usual = _plain(asdict(Reading.usual()))
        pairs += [
            (key, then["columns"].get("reading", usual).get(key), value) for key, value in now["columns"]["reading"].items()
        ]
        return next((pair for pair in pairs if pair[1] != pair[2]), None)

    def _check_settings(self, plan: Head) -> None:
        if differs := self._differs(plan):
            key, before, value = differs
            raise OutputError(
                f"{self._store.url} was tagged with {key} {before!r}, not {value!r}; name another output, or give --retag"
            )


def check_columns(options: TagConfig, peeked: Peeked) -> None:
    """Raise ConfigError for a column that was asked for and that no file has which was looked into."""
    if options.absent_columns == "allow":
        return
    for setting, column in options.asked_columns.items():
        if peeked.files and len(peeked.lacking[column]) == peeked.files:
            nearest = peeked.nearest(column)
            raise ConfigError(
                f"{setting.replace('_', ' ')}: no column {column!r} in {peeked.files:,} files that were looked into"
                + (f"; is it {nearest!r}?" if nearest is not None else ".")
                + f" There are: {peeked.named()}. --set absent_columns=allow tags them nevertheless"
            )


def _with(columns: Columns, partitions: tuple[str, ...]) -> Columns:
    return Columns(**{**{name: getattr(columns, name) for name in Columns.__slots__}, "partitions": partitions})


def _plain(value: Any) -> Any:
    """As JSON gives it back: lists for tuples."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return list(value) if isinstance(value, tuple) else value
