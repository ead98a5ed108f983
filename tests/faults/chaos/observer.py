"""Looks at the output and at the processes while runs last: whatever is visible is whole and stays what it is."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import StoreError
from pipeline.sink.layout import DEAD_LETTERS, FILTERED, TAGS
from tests.faults.chaos import processes
from tests.faults.chaos.invariants import superseded

FOLDERS = (TAGS, DEAD_LETTERS, FILTERED)
EVERY_S = 0.1


class Observer(threading.Thread):
    """`parts` are there now; `seen` is what has been read of each file; `problems` says what must not be."""

    def __init__(self, store, mark: str) -> None:
        super().__init__(name="observer", daemon=True)
        self._store, self._mark = store, mark
        self._over = threading.Event()
        self.parts = 0
        self.seen: dict[str, str] = {}
        self.problems: list[str] = []
        self.peaks: Counter[str] = Counter()

    def run(self) -> None:
        rounds = 0
        while not self._over.wait(EVERY_S):
            try:
                self.look()
            except (StoreError, OSError):
                continue  # the store is away; what is there is looked at again
            if rounds % 5 == 0:
                for one in processes.living(self._mark):
                    self.peaks[one.kind] = max(self.peaks[one.kind], processes.peak_bytes(one.pid))
            rounds += 1

    def look(self, again: bool = False) -> None:
        """Read what has come; with `again` also what was read before, which must not have changed."""
        for folder in FOLDERS:
            entries = list(self._store.list(folder))
            if folder == TAGS:
                self.parts = len(entries)
            for entry in entries:
                if again or entry.path not in self.seen:
                    self._read(entry.path)
            gone = {path for path in self.seen if path.startswith(f"{folder}/")} - {one.path for one in entries}
            if again and (gone := {path for path in gone if folder == TAGS or not self._reduced(path)}):
                self.problems.append(f"I3: {sorted(gone)} were there and are gone")

    def _read(self, path: str) -> None:
        with self._store.open_read(path) as stream:
            data = stream.read()
        digest = hashlib.sha256(data).hexdigest()
        if self.seen.setdefault(path, digest) != digest and not superseded(data)["fragments"]:
            self.problems.append(f"I3: {path} is not what it was when it appeared")
        try:
            pq.read_table(io.BytesIO(data))
        except (pa.ArrowException, OSError) as error:
            self.problems.append(f"I3: {path} is visible and not whole: {error}")

    def _reduced(self, path: str) -> bool:
        """Whether what was left out beside a part may be gone, as its files were tagged anew."""
        with self._store.open_read(f"{TAGS}/{path.partition('/')[2]}") as stream:
            return bool(superseded(stream.read())["fragments"])

    def close(self) -> None:
        self._over.set()
        self.join(60)
        assert not self.is_alive(), "the observer hangs"
