"""The state of a run, for those who look from elsewhere: a small file in the output while the run lasts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import StoreError
from pipeline.sink import ledger
from pipeline.sink.files import STATE, write_over
from pipeline.sink.manifest import last_manifest
from pipeline.sink.plan_log import finished, load_plans
from pipeline.store.base import Store

EVERY_S = 5.0
# A state that is older than this was left by a run that has been killed, or whose machine is away.
FRESH_S = 60.0


class StateFile:
    """Writes the state every few seconds, and removes it at the end; a store that refuses it does not disturb the run."""

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._run = store, run
        self._written = time.monotonic()
        self._there = False

    def show(self, state: Callable[[], dict[str, Any]]) -> None:
        """Write the state if it is time; only then it is asked."""
        now = time.monotonic()
        if now - self._written < EVERY_S:
            return
        self._written, self._there = now, True
        about = {"run": self._run, "process": os.getpid(), "host": os.uname().nodename, "time": datetime.now(UTC).isoformat()}
        with suppress(StoreError):
            write_over(self._store, STATE, json.dumps(about | state(), indent=1).encode() + b"\n")

    def close(self) -> None:
        """Remove the file."""
        if self._there:
            with suppress(StoreError):
                self._store.delete(STATE)


@dataclass(frozen=True, slots=True)
class Status:
    """What can be seen of an output: the newest generation's parts, the live state of a run or None, the last manifest."""

    parts: int
    planned: int
    plans: int
    open_plans: int
    live: dict[str, Any] | None
    stale: bool
    last: dict[str, Any] | None


def status_of(store: Store) -> Status:
    """Read the status of an output. Raises StoreError or OutputError."""
    plans = load_plans(store)
    newest = max((plan.generation for plan in plans), default=1)
    mine = [plan for plan in plans if plan.generation == newest]
    done, there = finished(store, plans), ledger.parts(store)
    live: dict[str, Any] | None = None
    if store.stat(STATE) is not None:
        with suppress(StoreError, ValueError), store.open_read(STATE) as stream:
            live = json.load(stream)
    age = 0.0 if live is None else (datetime.now(UTC) - datetime.fromisoformat(live["time"])).total_seconds()
    planned = sum(len(plan.splits) for plan in mine)
    missing = len(ledger.missing(mine, there))
    left = sum(plan.number not in done for plan in mine)
    return Status(planned - missing, planned, len(mine), left, live, age > FRESH_S, last_manifest(store))
