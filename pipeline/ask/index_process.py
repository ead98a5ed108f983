"""The process that keeps an index up to date: it looks, builds, says what came of it, and looks again.

It is a process of its own, so that an index that fails, or takes too much memory, harms no run that tags. It ends when its
standard input does, and so does not outlive whoever started it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.ask.index import build_index, embedder_of
from pipeline.child_process import child_process, told
from pipeline.errors import ClaimedError
from pipeline.exits import TRY_AGAIN
from pipeline.sink.layout import PLANS, TAGS
from pipeline.store.base import Store
from pipeline.store.open import open_store
from pipeline.store.settings import StoreConfig

Listed = tuple[tuple[str, int, int], ...]
COMMAND = [sys.executable, "-m", "pipeline.ask.index_process"]
_BUSY_S = 1.0
# A look that failed is repeated, over the same tags, after so many times its length, and at most so many seconds.
_TIMES, _MOST_S = 10.0, 600.0
# What tags goes first.
NICE = 10


@dataclass(frozen=True, slots=True)
class IndexOrder:
    """Which index is to be kept up to date.

    Attributes:
        output: URL of the output that it is of.
        answers: URL of the index.
        reach: How the stores are reached, see `StoreConfig.told`.
        every_s: Seconds between looks; 0 for one look.
        wait_s: Seconds for which one look waits for another process that makes the index.
    """

    output: str
    answers: str
    reach: dict[str, Any]
    every_s: float = 0.0
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class IndexResult:
    """What one look came to.

    Attributes:
        counts: The fields of `IndexCounts`; empty if there are no tags yet, or it failed.
        error: What went wrong, in words.
        exit_code: What that means to a command, see `pipeline.exits`.
    """

    counts: dict[str, int] = field(default_factory=dict)
    error: str = ""
    exit_code: int = 0


def looks(order: IndexOrder) -> Iterator[IndexResult]:
    """Look again and again.

    Args:
        order: Which index.

    Yields:
        What each look came to; one if the order says so.
    """
    until = time.monotonic() + order.wait_s
    reach = StoreConfig(**order.reach)
    patience = Patience()
    while True:
        began = time.monotonic()
        seen: Listed = ()
        try:
            store = open_store(order.output, reach)
            seen = _listed(store)
            if patience.is_vain(seen, began):
                time.sleep(order.every_s)
                continue
            yield IndexResult(_counts(store, order.answers, reach) if seen else {})
            patience = Patience()
        except ClaimedError as error:
            # Whoever makes it says what comes of it; a failure of before is none the less one.
            if order.every_s or time.monotonic() < until:
                time.sleep(order.every_s or _BUSY_S)
                continue
            yield IndexResult({}, str(error), error.exit_code)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told; a bug with its traceback
            failed = _failed(error)
            # What may pass is tried at every look.
            patience = Patience() if failed.exit_code == TRY_AGAIN else Patience.after(seen, began, time.monotonic())
            yield failed
        if not order.every_s:
            return
        time.sleep(order.every_s)


@dataclass(frozen=True, slots=True)
class Patience:
    """When to look again after a look that failed: at once over other tags, else when it costs little to fail again.

    Attributes:
        seen: What the look that failed looked at, empty for none.
        until: When to look at the same again, by the clock that gave it.
    """

    seen: Listed = ()
    until: float = 0.0

    @classmethod
    def after(cls, seen: Listed, began: float, ended: float) -> Patience:
        """Wait ten times as long as the look took, and at most ten minutes.

        Args:
            seen: What it looked at.
            began: When it began, in seconds.
            ended: When it ended.

        Returns:
            When to look again.
        """
        return cls(seen, ended + min(_TIMES * (ended - began), _MOST_S))

    def is_vain(self, seen: Listed, now: float) -> bool:
        """Return whether a look would most likely fail as the one before did.

        Args:
            seen: What is there to look at.
            now: Seconds, by the same clock.
        """
        return bool(seen) and seen == self.seen and now < self.until


def _listed(store: Store) -> Listed:
    """Plans and parts of the output, each with its size and the time of its last change."""
    return tuple((entry.path, entry.size, entry.modified_ns) for folder in (PLANS, TAGS) for entry in store.list(folder))


def _counts(store: Store, url: str, reach: StoreConfig) -> dict[str, int]:
    answers = open_store(url, reach)
    return asdict(build_index(store, answers, config=reach, embedder=embedder_of(answers)))


def _failed(error: Exception) -> IndexResult:
    text, code = told(error)
    return IndexResult({}, text, code)


def _serve() -> None:
    os.nice(NICE)
    with child_process() as (order, answers):
        for result in looks(IndexOrder(**order)):
            print(json.dumps(asdict(result)), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
