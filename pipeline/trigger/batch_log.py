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
    """How a run of a batch has ended.

    Attributes:
        run: Name of the run, if it got so far.
        manifest: Path of its manifest, if it got so far.
        error: What was wrong.
    """

    exit_code: int
    run: str = ""
    manifest: str = ""
    error: str = ""


class BatchLog:
    """Records in the `_watch/` folder of an output; those that were seen once are not asked for again.

    Args:
        store: The output.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._seen: set[str] = set()

    def is_recorded(self, revision: str) -> bool:
        """Whether the revision's run has ended for good.

        Args:
            revision: Of the batch.
        """
        return revision in self.recorded([revision])

    def recorded(self, revisions: Collection[str]) -> set[str]:
        """Return those revisions whose run has ended for good; many unknown ones are looked up by one listing.

        Args:
            revisions: Of batches.
        """
        unknown = set(revisions) - self._seen
        if len(unknown) > FEW:
            self._seen |= {entry.path.rpartition("/")[2].removesuffix(".json") for entry in self.store.list(f"{WATCH}/batches")}
        else:
            self._seen |= {revision for revision in unknown if self.store.stat(_record(revision)) is not None}
        return self._seen.intersection(revisions)

    def record(self, batch: InputBatch, ran: BatchResult, attempts: int) -> bool:
        """Write the record of a batch.

        Args:
            batch: The batch.
            ran: How its run has ended.
            attempts: How many there were.

        Returns:
            False if there is a record already.

        Raises:
            StoreError: It cannot be written; the batch counts as not ended then.
        """
        files = [[entry.path, entry.size, entry.modified_ns] for entry in batch.files]
        body: dict[str, Any] = {"batch": batch.name, "revision": batch.revision, "attempts": attempts, **asdict(ran)}
        body |= {"ended": datetime.now(UTC).isoformat(), "files": files}
        first = True
        try:
            write_whole(self.store, _record(batch.revision), json.dumps(body, indent=1).encode() + b"\n", "batch", WATCH_STAGING)
        except TakenError:
            first = False
        self._seen.add(batch.revision)
        with suppress(StoreError):
            self.store.delete(_attempts(batch.revision))
        return first

    def read(self, revision: str) -> dict[str, Any]:
        """Return the record of a revision.

        Args:
            revision: Of the batch.
        """
        return read_json(self.store, _record(revision))

    def begin(self, revision: str, owner: Owner) -> int:
        """Note that an attempt begins.

        Args:
            revision: Of the batch.
            owner: Who makes it.

        Returns:
            Its number, from 1.
        """
        number = sum(1 for _ in self.store.list(_attempts(revision))) + 1
        with self.store.create_exclusive(f"{_attempts(revision)}/{number:04d}.json") as stream:
            stream.write(json.dumps({"owner": asdict(owner), "began": datetime.now(UTC).isoformat()}).encode())
        return number

    def take_back(self, revision: str, number: int) -> None:
        """Note that an attempt was none: it could not begin.

        Args:
            revision: Of the batch.
            number: Of the attempt.
        """
        self.store.delete(f"{_attempts(revision)}/{number:04d}.json")


def claim_folder(revision: str) -> str:
    """Return where the claim of a revision is.

    Args:
        revision: Of the batch.
    """
    return f"{WATCH}/claims/{revision}"


def _record(revision: str) -> str:
    return f"{WATCH}/batches/{revision}.json"


def _attempts(revision: str) -> str:
    return f"{WATCH}/attempts/{revision}"
