"""The plan log: numbered Parquet files in `_plans/` that say once and for all which input goes into which part."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import astuple, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract import Fragment, Split
from pipeline.errors import OutputError, TakenError
from pipeline.sink.files import write_whole
from pipeline.sink.layout import finished_path, lost_path, plan_name, plan_path
from pipeline.store.base import Store
from pipeline.store.parquet import parquet_file

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
        pa.field("skip", pa.int64(), metadata={"doc": "rows that stand before the fragment's; null if it is no range of rows"}),
        pa.field(
            "encoding", pa.string(), metadata={"doc": "of a text file that was cut; plans of before 0.2 have no such column"}
        ),
        pa.field("unpacked", pa.int64(), metadata={"doc": "bytes that a packed file unpacks to, if it was cut; else null"}),
        pa.field("piece_packed", pa.int64(), metadata={"doc": "where in it to begin with unpacking"}),
        pa.field("piece_plain", pa.int64(), metadata={"doc": "the same place in what it unpacks to"}),
    ]
)
_KEY = b"textmill.plan"
# The setting of plans of files that were tagged before.
AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Plan:
    """One planned batch of input: which files go into which parts, and the settings that their tags depend on.

    Attributes:
        number: From 1, in the order in which plans were made.
        generation: From 1; `--retag` begins a new one.
        root: URL of the folder below which the files are.
        settings: All that the tags depend on beside the input, ready for JSON.
        splits: What the parts are made of.
    """

    number: int
    generation: int
    root: str
    settings: dict[str, Any]
    splits: tuple[Split, ...]

    @property
    def name(self) -> str:
        """Name of the plan, `plan-` and its number."""
        return plan_name(self.number)

    @property
    def again(self) -> bool:
        """Whether its files were tagged before: its parts take the place of what earlier plans have of them."""
        return bool(self.settings.get(AGAIN))


@dataclass(frozen=True, slots=True)
class PlanHead:
    """A plan without its input.

    Attributes:
        number: As in `Plan`.
        generation: As in `Plan`.
        root: As in `Plan`.
        settings: As in `Plan`.
        splits: How many splits it has, numbered from 0.
    """

    number: int
    generation: int
    root: str
    settings: dict[str, Any]
    splits: int

    @property
    def name(self) -> str:
        """Name of the plan, `plan-` and its number."""
        return plan_name(self.number)

    @property
    def again(self) -> bool:
        """Whether its files were tagged before: its parts take the place of what earlier plans have of them."""
        return bool(self.settings.get(AGAIN))


def write_plan(store: Store, plan: Plan, data: bytes | None = None) -> bool:
    """Freeze a plan: once it is written, it never changes.

    Args:
        store: The output.
        plan: Its number is one more than the last that is known.
        data: What `encode(plan)` gave, if the caller has it already.

    Returns:
        True if it was written; False, and nothing done, if another planner took the number first.
    """
    try:
        write_whole(store, plan_path(plan.number), encode(plan) if data is None else data, "plan")
    except TakenError:
        return False
    return True


def encode(plan: Plan) -> bytes:
    """Encode a plan as the Parquet file that it is kept in; `decode` is the inverse.

    Args:
        plan: The plan; it may have no splits.

    Returns:
        Bytes of the file: a row for each fragment in SCHEMA, all else in the metadata.
    """
    rows = [(split.number, *astuple(fragment)) for split in plan.splits for fragment in split.fragments]
    head = {"number": plan.number, "generation": plan.generation, "root": plan.root, "settings": plan.settings}
    columns = zip(*rows, strict=True) if rows else [[] for _ in SCHEMA]
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=SCHEMA.with_metadata({_KEY: json.dumps(head)}))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode(data: bytes, path: str) -> Plan:
    """Decode a plan from the bytes of its file; columns that an older version did not write get their defaults.

    Args:
        data: Bytes of the file.
        path: Names the file in the error.

    Returns:
        The plan, its splits sorted by number.

    Raises:
        OutputError: There is no plan in the bytes.
    """
    head, table = _table(data, path, SCHEMA.names)
    splits: dict[int, list[Fragment]] = {}
    for row in table.to_pylist():
        splits.setdefault(row.pop("split"), []).append(Fragment(**row))
    made = tuple(Split(head["number"], number, tuple(pieces)) for number, pieces in sorted(splits.items()))
    return Plan(head["number"], head["generation"], head["root"], head["settings"], made)


def decode_head(data: bytes, path: str) -> PlanHead:
    """Decode what a plan's file says beside its input, reading only one column.

    Args:
        data: Bytes of the file.
        path: Names the file in the error.

    Returns:
        The plan without its input.

    Raises:
        OutputError: There is no plan in the bytes.
    """
    head, table = _table(data, path, ["split"])
    return PlanHead(head["number"], head["generation"], head["root"], head["settings"], len(table["split"].unique()))


def _table(data: bytes, path: str, columns: list[str]) -> tuple[dict[str, Any], pa.Table]:
    try:
        with parquet_file(pa.BufferReader(data)) as file:
            table = file.read([name for name in columns if name in file.schema_arrow.names], use_threads=False)
        head = json.loads(table.schema.metadata[_KEY])
        return {key: head[key] for key in ("number", "generation", "root", "settings")}, table
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise OutputError(f"{path} is no plan ({type(error).__name__}: {error}); name another output") from error


def write_lost(store: Store, plan: Plan, lost: dict[str, list[str]]) -> None:
    """Record which files of a plan could not be read, or not to their end; a record that is there already stays.

    Args:
        store: The output.
        plan: The plan that names the files.
        lost: By path below the plan's root, the kind of trouble (see `pipeline.source.read_counts.Trouble`) and a description.
    """
    with suppress(TakenError):
        write_whole(store, lost_path(plan.number), json.dumps(lost, indent=1).encode() + b"\n", "lost")


def write_finished(store: Store, plan: Plan, counts: dict[str, Any]) -> None:
    """Record that all parts of a plan are there; a record that is there already stays.

    Args:
        store: The output.
        plan: The finished plan.
        counts: What `ledger.counts_of` gives.
    """
    try:
        write_whole(store, finished_path(plan.number), json.dumps(counts, indent=1).encode() + b"\n", "done")
    except TakenError:
        return
