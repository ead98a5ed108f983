"""All plans of an output, for as many reads as a few plans cost: which there are, which are finished, which input they name."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Set
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.sink.compaction import EVERY, Compaction, newest, rows_of, write_compaction
from pipeline.sink.layout import PLANS, finished_path, lost_path, plan_path
from pipeline.sink.plan_log import Plan, PlanHead, decode, decode_head, encode, write_finished, write_lost, write_plan
from pipeline.store.base import Entry, Store

INPUT = pa.schema(
    [
        pa.field("plan", pa.int32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("modified_ns", pa.int64(), nullable=False),
    ]
)
# So much of what this process has read of logs, none of which ever changes, is kept.
_KEPT_BYTES = 64 << 20


class PlannedFile(NamedTuple):
    """A file as the last plan that names it saw it.

    Attributes:
        size: In bytes.
        modified_ns: Time of modification in nanoseconds since 1970.
        plan: Number of that plan.
    """

    size: int
    modified_ns: int
    plan: int


class _Kept(OrderedDict[tuple[str, Entry], bytes]):
    """Bytes of files by the store's URL and the file as it was listed; those that were kept first go first."""

    size = 0

    def keep(self, key: tuple[str, Entry], data: bytes) -> None:
        if len(data) > _KEPT_BYTES:
            return
        self[key] = data
        self.size += len(data)
        while self.size > _KEPT_BYTES:
            self.size -= len(self.popitem(last=False)[1])


_kept = _Kept()


class PlanLog:
    """The plans of an output as they were at the last `look`, with what was added through this object since.

    What this process has read is not read again, up to _KEPT_BYTES in all.

    One compaction (see `pipeline.sink.compaction`) stands for most plans that have nothing left to be done: those that are
    finished, with the files that they name, and those of older generations.

    Args:
        store: The output.
    """

    heads: list[PlanHead]
    """Of all plans, by number."""
    done: set[int]
    """Numbers of the plans that are finished."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listed: dict[str, Entry] = {}
        self._written: dict[str, bytes] = {}  # by this object
        self._compaction: Compaction | None = None
        self._known: dict[str, PlanHead] = {}
        self.heads, self.done = [], set()

    def look(self) -> None:
        """List the log and read what is new in it.

        Raises:
            OutputError: A file in the log is no plan.
            StoreError: The log cannot be listed, or a plan cannot be read.
        """
        self._listed = {entry.path: entry for entry in self._store.list(PLANS)}
        sizes = {path: entry.size for path, entry in self._listed.items() if path.endswith(".parquet")}
        if self._compaction is None or not self._compaction.covers.items() <= sizes.items():
            self._compaction = newest(self._store, self._listed.values(), sizes)
            self._known = {} if self._compaction is None else _heads(self._compaction)
        for path in sizes.keys() - self._known.keys():
            self._known[path] = decode_head(self._read(path), f"{self._store.url}/{path}")
        self.heads = sorted((self._known[path] for path in sizes), key=lambda head: head.number)
        self.done = {head.number for head in self.heads if finished_path(head.number) in self._listed}

    @property
    def newest(self) -> int:
        """Number of the newest generation; 1 if there is no plan."""
        return max((head.generation for head in self.heads), default=1)

    @property
    def current(self) -> int:
        """Number of the newest generation of which a plan is finished; a newer one is filled beside it until then."""
        first = min((head.generation for head in self.heads), default=1)
        return max((head.generation for head in self.heads if head.number in self.done), default=first)

    @property
    def mine(self) -> list[PlanHead]:
        """The plans of the newest generation. Those of older ones are history, finished or not."""
        newest = self.newest
        return [head for head in self.heads if head.generation == newest]

    def plan(self, number: int) -> Plan:
        """Read a whole plan.

        Args:
            number: Of one of `heads`.

        Returns:
            The plan with its input.

        Raises:
            OutputError: The file is no plan.
            StoreError: The file cannot be read.
        """
        path = plan_path(number)
        return decode(self._read(path), f"{self._store.url}/{path}")

    def record(self, number: int) -> dict[str, Any]:
        """Read the record of a finished plan.

        Args:
            number: Of one of `done`.

        Returns:
            The counts that `finish` was given.

        Raises:
            ValueError: The record is no JSON object.
            StoreError: The record cannot be read.
        """
        found = json.loads(self._read(finished_path(number)))
        if not isinstance(found, dict):
            raise ValueError("no object")
        return found

    def named(self) -> dict[str, PlannedFile]:
        """Find every file that the plans of the newest generation name.

        Returns:
            Each file by its whole path, which begins with the root of its plan, as the last plan that names it saw it.

        Raises:
            StoreError: A plan cannot be read.
        """
        roots = {head.number: head.root for head in self.mine}
        found: dict[str, PlannedFile] = {}
        for batch in self._input(roots):
            columns = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            found.update(
                (f"{roots[plan]}/{path}", PlannedFile(size, modified_ns, plan)) for plan, path, size, modified_ns in columns
            )
        return found

    def naming(self, paths: Set[str], root: str) -> set[int]:
        """Find the plans of the newest generation that name one of some files.

        Args:
            paths: Paths of the files, below `root`.
            root: URL of the root of the plans that are looked into.

        Returns:
            Numbers of the plans.

        Raises:
            StoreError: A plan cannot be read.
        """
        wanted = pa.array(sorted(paths), pa.string())
        found: set[int] = set()
        for batch in self._input([head.number for head in self.mine if head.root == root]):
            found.update(batch["plan"].filter(pc.is_in(batch["path"], wanted)).to_pylist())
        return found

    @property
    def has_lost(self) -> bool:
        """Whether a plan of the newest generation has ever had a file that could not be read whole."""
        return any(lost_path(head.number) in self._listed for head in self.mine)

    def lost(self, named: Mapping[str, PlannedFile]) -> dict[str, tuple[str, str]]:
        """Find the files that could not be read whole when they were last tagged.

        Args:
            named: What `named` gives; a record counts only if no later plan names the file.

        Returns:
            By the whole path of the file, the kind of trouble (see `pipeline.source.read_counts.Trouble`) and a description.

        Raises:
            ValueError: A record is not JSON.
            StoreError: A record cannot be read.
        """
        found = {}
        for head in self.mine:
            if lost_path(head.number) in self._listed:
                for path, (trouble, why) in json.loads(self._read(lost_path(head.number))).items():
                    whole = f"{head.root}/{path}"
                    if whole in named and named[whole].plan == head.number:
                        found[whole] = trouble, why
        return found

    def add(self, plan: Plan) -> bool:
        """Freeze a plan and take it into this log.

        Args:
            plan: Its number is one more than the last that is known.

        Returns:
            True if it was written; False, and nothing done, if another planner took the number first.
        """
        data = encode(plan)
        if there := write_plan(self._store, plan, data):
            path = plan_path(plan.number)
            self._written[path], self._listed[path] = data, Entry(path, len(data), 0)
            self._known[path] = PlanHead(plan.number, plan.generation, plan.root, plan.settings, len(plan.splits))
            self.heads.append(self._known[path])
        return there

    def finish(self, plan: Plan, counts: dict[str, Any], lost: dict[str, list[str]] | None = None) -> None:
        """Write the record of a plan all of whose parts are there; records that are there already stay.

        Args:
            plan: The finished plan.
            counts: What `ledger.counts_of` gives.
            lost: By path, the files that could not be read, with the kind of trouble and a description; written before the
                record.
        """
        if lost:
            write_lost(self._store, plan, lost)
            data = json.dumps(lost).encode()
            path = lost_path(plan.number)
            self._written[path], self._listed[path] = data, Entry(path, len(data), 0)
        write_finished(self._store, plan, counts)
        self.done.add(plan.number)

    def compact(self) -> None:
        """Write one file that stands for all plans with nothing left to be done, if that saves the next run at least EVERY reads.

        Nothing is written while a new generation is being filled.

        Raises:
            StoreError: A plan cannot be read. A compaction that the store refuses is only left to a later run.
        """
        newest, covers = self.newest, {} if self._compaction is None else self._compaction.covers
        if newest != self.current:
            return  # a new generation is being filled
        settled = [head for head in self.heads if head.generation < newest or head.number in self.done]
        if sum(plan_path(head.number) not in covers for head in settled) < EVERY:
            return
        sizes = {plan_path(head.number): self._listed[plan_path(head.number)].size for head in settled}
        texts = list(dict.fromkeys(json.dumps([head.generation, head.root, head.settings]) for head in settled))
        index = {text: place for place, text in enumerate(texts)}
        about = {
            "kinds": [json.loads(text) for text in texts],
            "plans": [[h.number, index[json.dumps([h.generation, h.root, h.settings])], h.splits] for h in settled],
        }
        rows = self._input([head.number for head in settled if head.generation == newest])
        write_compaction(self._store, PLANS, self._listed.values(), sizes, about, INPUT, rows)

    def _input(self, numbers: Collection[int]) -> Iterator[pa.RecordBatch]:
        """Rows of INPUT of these plans, all of them of the newest generation."""
        chosen, covers = pa.array(sorted(numbers), pa.int32()), {}
        if self._compaction is not None:
            covers = self._compaction.covers
            for batch in self._compaction.rows(INPUT.names):
                yield batch.filter(pc.is_in(batch["plan"], chosen))
        for number in sorted(numbers):
            if (path := plan_path(number)) not in covers:
                for batch in map(_once, rows_of(self._read(path), INPUT.names[1:])):
                    plan = pa.repeat(pa.scalar(number, pa.int32()), len(batch))
                    yield pa.RecordBatch.from_arrays([plan, *batch.columns], schema=INPUT)

    def _read(self, path: str) -> bytes:
        """What a file of the log holds."""
        if path in self._written:
            return self._written[path]
        key = self._store.url, self._listed[path]
        if (data := _kept.get(key)) is None:
            with self._store.open_read(path) as stream:
                data = stream.read()
            _kept.keep(key, data)
        return data


def _once(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A file that is cut has its pieces one after the other: one of them does."""
    path = batch["path"]
    return batch if len(path) < 2 else batch.filter(pa.concat_arrays([pa.array([True]), pc.not_equal(path[1:], path[:-1])]))


def _heads(compaction: Compaction) -> dict[str, PlanHead]:
    found = {}
    for number, kind, splits in compaction.about["plans"]:
        generation, root, settings = compaction.about["kinds"][kind]
        found[plan_path(number)] = PlanHead(number, generation, root, settings, splits)
    return found
