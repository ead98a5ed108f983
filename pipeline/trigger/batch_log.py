"""What the output says of batches: attempts that were begun, and the record of each revision whose run has ended for good."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import StoreError, TakenError
from pipeline.nightly.index import read_json
from pipeline.sink.files import write_whole
from pipeline.sink.layout import WATCH, WATCH_STAGING
from pipeline.store.base import Store
from pipeline.store.owner import Owner
from pipeline.trigger.batches import InputBatch

# So many records are asked for one by one.
FEW = 8


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How a run of a batch has ended: its exit code, the run's name and manifest if it got so far, what was wrong."""

    exit_code: int
    run: str = ""
    manifest: str = ""
    error: str = ""


class BatchLog:
    """Records in the `_watch/` folder of an output; those that were seen once are not asked for again."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._seen: set[str] = set()

    def is_recorded(self, revision: str) -> bool:
        """Whether the revision's run has ended for good."""
        return revision in self.recorded([revision])

    def recorded(self, revisions: Collection[str]) -> set[str]:
        """Those of the revisions whose run has ended for good. Many that are not known to be so are looked up by one listing."""
        unknown = set(revisions) - self._seen
        if len(unknown) > FEW:
            self._seen |= {entry.path.rpartition("/")[2].removesuffix(".json") for entry in self.store.list(f"{WATCH}/batches")}
        else:
            self._seen |= {revision for revision in unknown if self.store.stat(_record(revision)) is not None}
        return self._seen.intersection(revisions)

    def record(self, batch: InputBatch, ran: BatchResult, attempts: int) -> bool:
        """Write the record; False if there is one."""
        files = [[entry.path, entry.size, entry.modified_ns] for entry in batch.files]
        body: dict[str, Any] = {"batch": batch.name, "revision": batch.revision, "attempts": attempts, **asdict(ran)}
        body |= {"ended": datetime.now(UTC).isoformat(), "files": files}
        try:
            write_whole(self.store, _record(batch.revision), json.dumps(body, indent=1).encode() + b"\n", "batch", WATCH_STAGING)
        except TakenError:
            return False
        finally:
            self._seen.add(batch.revision)
            with suppress(StoreError):
                self.store.delete(_attempts(batch.revision))
        return True

    def read(self, revision: str) -> dict[str, Any]:
        """The record of a revision."""
        return read_json(self.store, _record(revision))

    def begin(self, revision: str, owner: Owner) -> int:
        """Note that an attempt begins; gives its number, from 1."""
        number = sum(1 for _ in self.store.list(_attempts(revision))) + 1
        with self.store.create_exclusive(f"{_attempts(revision)}/{number:04d}.json") as stream:
            stream.write(json.dumps({"owner": asdict(owner), "began": datetime.now(UTC).isoformat()}).encode())
        return number

    def take_back(self, revision: str, number: int) -> None:
        """The attempt was none: it could not begin."""
        self.store.delete(f"{_attempts(revision)}/{number:04d}.json")


def claim_folder(revision: str) -> str:
    """Where the claim of a revision is."""
    return f"{WATCH}/claims/{revision}"


def _record(revision: str) -> str:
    return f"{WATCH}/batches/{revision}.json"


def _attempts(revision: str) -> str:
    return f"{WATCH}/attempts/{revision}"
