"""The plan log: numbered Parquet files in `_plans/` that say once and for all which input goes into which part."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract import Fragment, Split
from pipeline.errors import OutputError, TakenError
from pipeline.sink.files import write_whole
from pipeline.store.base import Store

PLANS = "_plans"
SCHEMA = pa.schema(
    [
        pa.field("split", pa.int32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("modified_ns", pa.int64(), nullable=False),
        pa.field("tokens", pa.int64(), nullable=False),
        pa.field("rows", pa.int64(), metadata={"doc": "by the file's own footer; plans of before 0.2 have no such column"}),
    ]
)
_KEY = b"textmill.plan"


@dataclass(frozen=True, slots=True)
class Plan:
    """One planned batch of input: files below `root`, and the `settings` that their tags depend on."""

    number: int
    generation: int
    root: str
    settings: dict[str, Any]
    splits: tuple[Split, ...]

    @property
    def name(self) -> str:
        return f"plan-{self.number:06d}"


def load_plans(store: Store) -> list[Plan]:
    """All plans of an output, in order. Raises OutputError for a file that is no plan."""
    plans = [_read(store, entry.path) for entry in store.list(PLANS) if entry.path.endswith(".parquet")]
    return sorted(plans, key=lambda plan: plan.number)


def write_plan(store: Store, plan: Plan) -> bool:
    """Freeze a plan; False, and nothing done, if another planner took the number first."""
    rows = [(split.number, *astuple(fragment)) for split in plan.splits for fragment in split.fragments]
    head = {"number": plan.number, "generation": plan.generation, "root": plan.root, "settings": plan.settings}
    columns = zip(*rows, strict=True) if rows else [[] for _ in SCHEMA]
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=SCHEMA.with_metadata({_KEY: json.dumps(head)}))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    try:
        write_whole(store, f"{PLANS}/{plan.name}.parquet", sink.getvalue().to_pybytes(), "plan")
    except TakenError:
        return False
    return True


def _read(store: Store, path: str) -> Plan:
    try:
        with store.open_read(path) as stream:
            table = pq.read_table(stream)
        head = json.loads(table.schema.metadata[_KEY])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise OutputError(f"{store.url}/{path} is no plan ({type(error).__name__}: {error}); name another output") from error
    splits: dict[int, list[Fragment]] = {}
    columns = [table[name].to_pylist() for name in SCHEMA.names if name in table.column_names]
    for row in zip(*columns, strict=True):
        splits.setdefault(row[0], []).append(Fragment(*row[1:]))
    made = tuple(Split(head["number"], number, tuple(pieces)) for number, pieces in sorted(splits.items()))
    return Plan(head["number"], head["generation"], head["root"], head["settings"], made)


def finished(store: Store, plans: Iterable[Plan]) -> set[int]:
    """Numbers of the plans that have their record."""
    there = {entry.path for entry in store.list(PLANS)}
    return {plan.number for plan in plans if f"{PLANS}/{plan.name}.done.json" in there}


def write_finished(store: Store, plan: Plan, counts: dict[str, Any]) -> None:
    """The record of a finished plan, with its counts. One that is there already stays."""
    try:
        write_whole(store, f"{PLANS}/{plan.name}.done.json", json.dumps(counts, indent=1).encode() + b"\n", "done")
    except TakenError:
        return
