"""On which machine each split's data lies, where the store tells."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline.contract import Fragment, Split
from pipeline.errors import StoreError
from pipeline.store.base import BlockLocation, Store

log = logging.getLogger("textmill")

# A file is asked about if it is so much of a split; files that are packed together lie on many machines.
LARGE = 0.5
# No more files are asked about after so many seconds, by so many threads.
LIMIT_S, THREADS = 10.0, 16
# A machine that has so much of what the best one has is as good.
AS_GOOD = 0.9


class DataLocality:
    """Gives every split one machine of those that hold most of it, so that each machine gets about the same.

    Args:
        store: The input.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._given: Counter[tuple[str, ...]] = Counter()
        self._asking = True

    def __call__(self, splits: Sequence[Split]) -> dict[str, tuple[str, ...]]:
        """The names of that machine, by the split's name; splits of which nothing is known are left out.

        A store that does not answer costs a warning, and nearness.
        """
        mine = {split.name: large for split in splits if (large := _large(split))}
        places = self._places({large.path: large.size for large in mine.values()})
        found = {}
        for split in splits:
            if split.name in mine and (here := places.get(mine[split.name].path)):
                held = _held(mine[split.name], here)
                most = max(held.values(), default=0)
                if most:
                    good = [host for host, size in held.items() if size >= AS_GOOD * most]
                    found[split.name] = host = min(good, key=lambda one: (self._given[one], one))
                    self._given[host] += split.tokens
        return found

    def _places(self, files: dict[str, int]) -> dict[str, Sequence[BlockLocation]]:
        until = time.monotonic() + LIMIT_S

        def ask(path: str) -> Sequence[BlockLocation]:
            if not self._asking or time.monotonic() > until:
                return []
            try:
                return self._store.block_locations(path, files[path])
            except StoreError as error:
                if self._asking:
                    self._asking = False
                    log.warning("where the blocks lie is not known, so that workers read from any machine: %s", error)
                return []

        if not self._asking:
            return {}
        with ThreadPoolExecutor(THREADS, "textmill-places") as pool:
            return dict(zip(files, pool.map(ask, files), strict=True))


def _large(split: Split) -> Fragment | None:
    largest = max(split.fragments, key=lambda piece: piece.tokens)
    return largest if largest.tokens >= LARGE * split.tokens else None


def _held(piece: Fragment, places: Sequence[BlockLocation]) -> Counter[tuple[str, ...]]:
    """Bytes of the fragment by machine; row groups are told by number, so that of those the whole file counts."""
    start, end = (0, piece.size) if piece.format == "parquet" else (piece.start, piece.end)
    if piece.unpacked:
        start, end = (place * piece.size // piece.unpacked for place in (start, end))
    held: Counter[tuple[str, ...]] = Counter()
    for place in places:
        if (size := min(end, place.end) - max(start, place.start)) > 0:
            for host in set(place.hosts):
                held[host] += size
    return held
