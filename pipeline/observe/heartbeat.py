"""The state of a run, for those who look from elsewhere: a small file in the output while the run lasts."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import StoreError
from pipeline.sink import ledger
from pipeline.sink.files import try_delete, write_over
from pipeline.sink.layout import STATE
from pipeline.sink.manifest import last_manifest
from pipeline.sink.plans import PlanLog
from pipeline.store.base import Store

EVERY_S = 5.0
# A state that is older than this was left by a run that has been killed, or whose machine is away.
FRESH_S = 60.0
# So long the end of a run waits for a store that does not answer.
END_S = 5.0
# Not with what the run stages: it looks through that, and clears it away, while the state is written.
_STAGED = "_state"


class Heartbeat:
    """Writes the state of a run to a file in the output every EVERY_S seconds, and removes it at the end.

    A thread of its own writes: the run never waits for it, however long the store takes, and is not disturbed by what the store
    refuses.

    Args:
        store: The output.
        run: Name of the run.
    """

    def __init__(self, store: Store, run: str) -> None:
        self._store, self._run = store, run
        self._written = time.monotonic()
        self._thread: threading.Thread | None = None
        self._closed = False

    def show(self, state: Callable[[], dict[str, Any]]) -> None:
        """Have the state written if it is time and the last one is written; else nothing happens.

        Args:
            state: Gives the state, ready for JSON; called only if it is to be written.
        """
        now = time.monotonic()
        if now - self._written < EVERY_S or (self._thread is not None and self._thread.is_alive()):
            return
        self._written = now
        about = {"run": self._run, "process": os.getpid(), "host": os.uname().nodename, "time": datetime.now(UTC).isoformat()}
        self._start(self._write, json.dumps(about | state(), indent=1).encode() + b"\n")

    def close(self) -> None:
        """Remove the file, even one that a killed run has left; what a store does not do within END_S seconds stays."""
        self._closed = True
        if self._thread is not None:
            self._thread.join(END_S)
        if self._thread is None or not self._thread.is_alive():
            self._start(self._remove).join(END_S)

    def _start(self, work: Callable[..., None], *rest: bytes) -> threading.Thread:
        self._thread = threading.Thread(target=work, args=rest, name="state", daemon=True)
        self._thread.start()
        return self._thread

    def _write(self, data: bytes) -> None:
        with suppress(StoreError, OSError):
            write_over(self._store, STATE, data, _STAGED)
        if self._closed:
            self._remove()

    def _remove(self) -> None:
        for path in (_STAGED, STATE):
            try_delete(self._store, path)


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What can be seen of an output from elsewhere.

    Attributes:
        parts: Parts of the newest generation that are there.
        planned: Parts that the plans of the newest generation name.
        plans: Plans of the newest generation.
        open_plans: Those of them that are not finished.
        live: State that a run has written last, None if there is none.
        stale: Whether that state is older than FRESH_S seconds: the run has been killed, or its machine is away.
        last: Manifest of the latest run, None if there is none.
        lost: Files that could not be read whole when they were last tagged, with the reason, by whole path.
    """

    parts: int
    planned: int
    plans: int
    open_plans: int
    live: dict[str, Any] | None
    stale: bool
    last: dict[str, Any] | None
    lost: dict[str, str] = field(default_factory=dict)


def status_of(store: Store) -> RunStatus:
    """Read how far the current run into an output is, and how the last one ended.

    Args:
        store: The output.

    Returns:
        The status; its `plans` is 0 if the folder holds no plan.

    Raises:
        StoreError: A file cannot be read.
        OutputError: A file among the plans is none.
        ValueError: The last manifest or a record of lost files is not JSON.
    """
    log = PlanLog(store)
    log.look()
    mine = log.mine
    there = Counter(name.rpartition("-")[0] for name in ledger.parts(store))
    live: dict[str, Any] | None = None
    if store.stat(STATE) is not None:
        with suppress(StoreError, ValueError), store.open_read(STATE) as stream:
            live = json.load(stream)
    age = 0.0 if live is None else (datetime.now(UTC) - datetime.fromisoformat(live["time"])).total_seconds()
    planned = sum(head.splits for head in mine)
    parts = sum(min(head.splits, there[f"part-{head.number:06d}"]) for head in mine)
    left = sum(head.number not in log.done for head in mine)
    lost = {path: why for path, (_, why) in log.lost(log.named()).items()} if log.has_lost else {}
    return RunStatus(parts, planned, len(mine), left, live, age > FRESH_S, last_manifest(store), lost)
