"""The process that keeps an index up to date: it looks, builds, says what came of it, and looks again.

It is a process of its own, so that an index that fails, or takes too much memory, harms no run that tags. It ends when its
standard input does, and so does not outlive whoever started it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
from typing import Any

from pipeline.ask.index import build_index
from pipeline.errors import ClaimedError, PipelineError
from pipeline.exits import BUG, DO_NOT_TRY_AGAIN, exit_of
from pipeline.sink.layout import PLANS, TAGS
from pipeline.store.open import open_store
from pipeline.store.settings import StoreConfig

COMMAND = [sys.executable, "-m", "pipeline.ask.index_process"]
_BUSY_S = 1.0


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
        counts: The fields of `IndexCounts`; empty if there are no tags yet, another process makes the index, or it failed.
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
    while True:
        try:
            yield IndexResult(_counts(order))
        except ClaimedError as error:
            if not order.every_s and time.monotonic() < until:
                time.sleep(_BUSY_S)
                continue
            yield IndexResult() if order.every_s else IndexResult({}, str(error), error.exit_code)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told; a bug with its traceback
            yield _failed(error)
        if not order.every_s:
            return
        time.sleep(order.every_s)


def _counts(order: IndexOrder) -> dict[str, int]:
    reach = StoreConfig(**order.reach)
    store = open_store(order.output, reach)
    if all(next(iter(store.list(folder)), None) is None for folder in (TAGS, PLANS)):
        return {}
    return asdict(build_index(store, open_store(order.answers, reach), config=reach))


def _failed(error: Exception) -> IndexResult:
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    text = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
    code = exit_of(error).code
    if code == BUG:
        import traceback

        traceback.print_exc()
        code = DO_NOT_TRY_AGAIN
    return IndexResult({}, text + notes, code)


def _serve() -> None:
    from pipeline.observe.safe_stderr import safe_stderr

    # Nothing that is printed, in Python or not, may get into the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    safe_stderr()

    def leave() -> None:
        sys.stdin.read()
        os._exit(1)

    order = IndexOrder(**json.loads(sys.stdin.readline()))
    threading.Thread(target=leave, daemon=True).start()
    with redirect_stdout(sys.stderr):
        for result in looks(order):
            print(json.dumps(asdict(result)), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
