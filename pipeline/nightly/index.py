"""Which days the documents of a finished plan belong to: counted once a plan, kept beside the output."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import OutputError, TakenError
from pipeline.nightly.dates import days_of
from pipeline.sink.attempt import read_footer
from pipeline.sink.compaction import gathered
from pipeline.sink.files import write_whole
from pipeline.sink.layout import DAYS, NIGHTLY_STAGING, finished_path, part_path
from pipeline.sink.plan_log import PlanHead
from pipeline.sink.plans import PlanLog
from pipeline.store.base import Store
from pipeline.store.parquet import batches, parquet_file
from pipeline.timezones import zone_of


@dataclass(frozen=True, slots=True)
class DayShare:
    """What one plan has of one day: rows, and a digest of which attempts made them."""

    plan: int
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Index:
    """What the output holds of every day, by plan.

    Attributes:
        undated: Rows that have no time, or one without a date.
    """

    days: dict[date, tuple[DayShare, ...]]
    undated: int

    def rows(self, day: date) -> int:
        """Return the number of documents of a day.

        Args:
            day: The day.
        """
        return sum(holding.rows for holding in self.days.get(day, ()))


def index_of(store: Store, zone: str) -> Index:
    """Find the days of all finished plans of the current generation; what was not counted yet is counted.

    Args:
        store: The output.
        zone: Zone of the days.

    Returns:
        The index.

    Raises:
        OutputError: A part cannot be read.
        StoreError: The store fails.
    """
    log = PlanLog(store)
    log.look()
    plans = [plan for plan in log.heads if plan.generation == log.current and plan.number in log.done]
    found: dict[date, list[DayShare]] = defaultdict(list)
    undated = 0
    for plan, kept in zip(plans, _kept(store, plans, zone), strict=True):
        undated += kept["undated"]
        for day, (rows, digest) in kept["days"].items():
            found[date.fromisoformat(day)].append(DayShare(plan.number, rows, digest))
    return Index({day: tuple(holdings) for day, holdings in sorted(found.items())}, undated)


def _kept(store: Store, plans: Sequence[PlanHead], zone: str) -> Iterable[dict[str, Any]]:
    """What was counted of each plan, counted now if it was not yet."""
    folder = f"{DAYS}/{zone.replace('/', '-')}"
    listed = list(store.list(folder))
    sizes = {entry.path: entry.size for entry in listed}
    paths = {f"{folder}/{plan.name}.json": plan for plan in plans}
    counted: dict[str, dict[str, Any]] = {}
    for path, plan in paths.items():
        if path not in sizes:
            body = {"plan": plan.number, "zone": zone, **_count(store, plan, zone)}
            data = json.dumps(body, indent=1).encode() + b"\n"
            with suppress(TakenError):  # somebody else has counted the same
                write_whole(store, path, data, "days", NIGHTLY_STAGING)
            counted[path], sizes[path] = body, len(data)
    found = gathered(
        store, folder, listed, sizes, paths, lambda path: counted.get(path) or read_json(store, path), NIGHTLY_STAGING
    )
    return found.values()


def _count(store: Store, plan: PlanHead, zone: str) -> dict[str, Any]:
    record = read_json(store, finished_path(plan.number))
    rows: dict[date, int] = defaultdict(int)
    digests: dict[date, Any] = defaultdict(hashlib.sha256)
    undated = 0
    for part in sorted(record["made"], key=lambda part: str(part["name"])):
        path = part_path(part["name"])
        now, times = read_footer(store, path), _times(store, path)  # rows may have been taken out since the record was written
        dated = 0
        for day, places in days_of(times, zone_of(zone)):
            rows[day] += len(places)
            dated += len(places)
            digests[day].update(f"{part['name']} {now['attempt']} {len(places)}\n".encode())
        undated += int(now["rows"]) - dated
    return {"undated": undated, "days": {str(day): [rows[day], digests[day].hexdigest()[:32]] for day in sorted(rows)}}


def _times(store: Store, path: str) -> np.ndarray:
    """Times of a part's documents in microseconds since 1970, int64[N], without those that have none."""
    found = [np.empty(0, np.int64)]
    try:
        with store.open_read(path) as stream:
            for batch in batches(parquet_file(stream), ["created_at"]):
                column = batch.column(0).drop_null()
                found.append(column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(zero_copy_only=False))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise OutputError(f"{store.url}/{path} cannot be read ({type(error).__name__}: {error})") from error
    return np.concatenate(found)


def read_json(store: Store, path: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        store: The output.
        path: Of the file.

    Returns:
        The object.

    Raises:
        OutputError: The file holds something else.
        StoreError: It cannot be read.
    """
    try:
        with store.open_read(path) as stream:
            found = json.load(stream)
        if not isinstance(found, dict):
            raise ValueError("no object")
    except (OSError, ValueError) as error:
        raise OutputError(f"{store.url}/{path} is no JSON object ({type(error).__name__}); was it changed by hand?") from error
    return found


def listed(store: Store, folder: str, suffix: str) -> Iterator[str]:
    """List the files directly in a folder that end so.

    Args:
        store: The output.
        folder: The folder.
        suffix: How their names end.

    Yields:
        Paths, in order.
    """
    for entry in store.list(folder):
        inside = entry.path.removeprefix(f"{folder}/")
        if "/" not in inside and inside.endswith(suffix):
            yield entry.path
