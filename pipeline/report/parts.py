"""The parts of an output as they are at one moment, what their footers and the records beside them say, and how they are read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import OutputError
from pipeline.report.classes import classes_of
from pipeline.sink.attempt import FOOTER
from pipeline.sink.layout import METRICS, OUTCOMES, PLANS, RUNS, TAGS
from pipeline.store.base import Store
from pipeline.store.parquet import read_table

# Rows that are aggregated together, at most, unless a part alone has more.
BLOCK_ROWS = 200_000
COLUMNS = ("id", "source", "created_at", "lang", "entities", "sentiment", "sentiment_scores", "words")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the output, and what its footer says.

    Attributes:
        name: File name without its ending.
        path: Below the store's root.
        rows: Rows by the Parquet metadata.
        footer: What its writer has noted of it in the Parquet metadata.
        has_text: Whether it holds its documents' texts.
        dated: Earliest and latest time of its documents, microseconds since 1970; None if none has a time.
        undated: Rows without a time, by the row groups' statistics.
        classes: Classes that its documents may have; none if its model has none.
    """

    name: str
    path: str
    rows: int
    footer: dict[str, Any]
    has_text: bool
    dated: tuple[int, int] | None
    undated: int
    classes: tuple[str, ...]


def parts_of(store: Store) -> list[Part]:
    """List the parts of an output, with their footers.

    Args:
        store: Store of the tagged output.

    Returns:
        The parts, sorted by path.

    Raises:
        OutputError: A Parquet file among the tags is no part, or this is no output of `textmill tag` at all.
    """
    if next(iter(store.list(TAGS)), None) is None and next(iter(store.list(PLANS)), None) is None:
        raise OutputError(f"{store.url}: no {TAGS}/ in it; is it the output folder of `textmill tag`?")
    return [_part(store, entry.path) for entry in store.list(TAGS) if entry.path.endswith(".parquet")]


def _part(store: Store, path: str) -> Part:
    try:
        with store.open_read(path) as stream:
            about = pq.read_metadata(stream)
            footer = json.loads(about.metadata[FOOTER])
        schema = about.schema.to_arrow_schema()
        if missing := [name for name in COLUMNS if name not in schema.names]:
            raise KeyError(missing[0])
        classes, (dated, undated) = classes_of(schema), _dates(about)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise OutputError(f"{store.url}/{path} is no part of a run ({what}); no report can be made of it") from error
    name = path.rsplit("/", 1)[-1].removesuffix(".parquet")
    return Part(name, path, about.num_rows, footer, "text" in schema.names, dated, undated, classes)


def _dates(about: pq.FileMetaData) -> tuple[tuple[int, int] | None, int]:
    """The span of the times, and how many rows have none, out of the row groups' statistics."""
    low: list[int] = []
    high: list[int] = []
    undated = 0
    for number in range(about.num_row_groups):
        group = about.row_group(number)
        found = next(c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == "created_at").statistics
        if not group.num_rows:
            continue
        if found is None or found.null_count is None:
            raise ValueError("row groups without statistics")
        undated += found.null_count
        if found.has_min_max:
            low.append(found.min_raw)
            high.append(found.max_raw)
    return ((min(low), max(high)) if low else None), undated


def blocks(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Divide parts into blocks that are counted together.

    Args:
        parts: The parts.

    Yields:
        Consecutive parts of at most `BLOCK_ROWS` rows together, or a single larger part.
    """
    block: list[Part] = []
    for part in parts:
        if block and sum(one.rows for one in block) + part.rows > BLOCK_ROWS:
            yield block
            block = []
        block.append(part)
    if block:
        yield block


def relation(store: Store, con: Any, block: Sequence[Part], columns: Sequence[str]) -> str:
    """Make SQL of a relation of a block's documents.

    DuckDB itself reads files of this machine, and skips row groups that cannot match. From other stores, and where a path cannot
    be written as one of DuckDB's patterns, the parts are read into memory through the store and stay registered until `release`.

    Args:
        store: Store of the tagged output.
        con: DuckDB connection.
        block: The parts that are read.
        columns: Names of the columns that are wanted.

    Returns:
        SQL of a relation with these columns and `doc`: BIGINT, unique within the block, the part's place in the block in the bits
        from 40 up and the row's place in the part below.
    """
    chosen = ", ".join(columns)
    paths = [path for part in block if (path := store.local_path(part.path)) is not None]
    patterns = [pattern for path in paths if (pattern := _pattern(path)) is not None]
    if block and len(patterns) == len(block):
        quoted = ", ".join("'" + pattern.replace("'", "''") + "'" for pattern in patterns)
        # Folders like lang=zh above the output say nothing of its columns.
        read = f"read_parquet([{quoted}], hive_partitioning = false)"
        return f"(select {chosen}, (file_index::BIGINT << 40) | file_row_number as doc from {read})"
    for number, part in enumerate(block):
        with store.open_read(part.path) as stream:
            con.register(f"part_{number}", read_table(stream, columns))
    each = (
        f"select {chosen}, ({number}::BIGINT << 40) | (row_number() over () - 1) as doc from part_{number}"
        for number in range(len(block))
    )
    return "(" + " union all ".join(each) + ")"


def _pattern(path: Path) -> str | None:
    """The path as a pattern of DuckDB that nothing else matches; None where there is none."""
    text = str(path)
    if not re.search(r"[*?[]", text):
        return text
    return None if "\\" in text else re.sub(r"([*?[])", r"[\1]", text)


def release(con: Any, block: Sequence[Part]) -> None:
    """Free what `relation` has read into memory; nothing happens if it has read nothing.

    Args:
        con: DuckDB connection.
        block: The parts that `relation` was given.
    """
    for number in range(len(block)):
        con.unregister(f"part_{number}")


def left_out(store: Store, names: set[str]) -> list[tuple[str, str, str, int]]:
    """Count the documents that were left out of parts, by reason.

    Args:
        store: Store of the tagged output.
        names: Names of the parts.

    Returns:
        Part, outcome (dead_letter or filtered), reason and number of rows, sorted.

    Raises:
        OutputError: A file of dead letters or of filtered documents cannot be read.
    """
    found: list[tuple[str, str, str, int]] = []
    for outcome, folder in OUTCOMES.items():
        for entry in store.list(folder):
            name = entry.path.rsplit("/", 1)[-1].removesuffix(".parquet")
            if name not in names:
                continue
            try:
                with store.open_read(entry.path) as stream:
                    reasons = read_table(stream, ["reason"])["reason"].value_counts().to_pylist()
            except (pa.ArrowException, OSError, KeyError, ValueError) as error:
                raise OutputError(f"{store.url}/{entry.path} cannot be read ({type(error).__name__}: {error})") from error
            found += [(name, outcome, one["values"], one["counts"]) for one in reasons]
    return sorted(found)


def records(store: Store) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Read the records that runs and plans have left in the output.

    Args:
        store: Store of the tagged output.

    Returns:
        The runs' manifests in order of time, their metrics by run, and the records of finished plans.

    Raises:
        OutputError: A record is no JSON object.
    """
    manifests, metrics, plans = [], {}, []
    for entry in store.list(RUNS):
        if entry.path.endswith(METRICS):
            metrics[entry.path.rsplit("/", 1)[-1].removesuffix(METRICS)] = _json(store, entry.path)
        elif entry.path.endswith(".json"):
            manifests.append(_json(store, entry.path))
    for entry in store.list(PLANS):
        if entry.path.endswith(".done.json"):
            plans.append(_json(store, entry.path))
    return manifests, metrics, plans


def _json(store: Store, path: str) -> dict[str, Any]:
    try:
        with store.open_read(path) as stream:
            found = json.load(stream)
    except ValueError as error:
        raise OutputError(f"{store.url}/{path} is no JSON ({error}); no report can be made of it") from error
    if not isinstance(found, dict):
        raise OutputError(f"{store.url}/{path} is no JSON object; no report can be made of it")
    return found
