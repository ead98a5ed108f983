"""Whoever tags has an index kept up to date: once, or for as long as it works. The process beside it does the work."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from select import select
from types import TracebackType

from pipeline.ask.documents import schema
from pipeline.ask.generations import read_generation, whole_generations
from pipeline.ask.index_process import COMMAND, IndexOrder, IndexResult
from pipeline.errors import ConfigError, NoIndexError, StoreError
from pipeline.exits import TRY_AGAIN
from pipeline.pipes import write_all
from pipeline.store.open import open_store, split_url
from pipeline.store.settings import StoreConfig

_POLL_S = 0.1
DIED = "the process that makes the index has died; is there enough memory for it?"


def check_index(order: IndexOrder) -> None:
    """Refuse what will never be an index, before anything else is done.

    Args:
        order: Which index.

    Raises:
        ConfigError: tantivy or the store's package is not installed, or the index is of another output.
        OutputError: The index is none.
    """
    schema()
    reach = StoreConfig(**order.reach)
    answers = open_store(order.answers, reach)
    with suppress(StoreError):  # that may pass; whoever builds says it if not
        if numbers := whole_generations(answers):
            of = read_generation(answers, numbers[-1]).output
            if split_url(of) != split_url(order.output):
                raise ConfigError(f"{answers.url} is an index of {of}, not of {order.output}; name another folder")


def index_once(order: IndexOrder, check: Callable[[], object]) -> dict[str, int]:
    """Bring an index up to date.

    Args:
        order: Which index; `every_s` is 0.
        check: Called several times a second; what it raises ends the work, which the next call begins anew.

    Returns:
        The fields of `IndexCounts`; empty if there are no tags yet.

    Raises:
        NoIndexError: It could not be brought up to date; has the exit code of the cause.
    """
    with _started(order) as process:
        try:
            assert process.stdout is not None
            while not select([process.stdout], [], [], _POLL_S)[0]:
                check()
            line = process.stdout.readline()
        finally:
            process.kill()
    if not line:
        raise NoIndexError(DIED, TRY_AGAIN)
    result = IndexResult(**json.loads(line))
    if result.error:
        raise NoIndexError(f"the index is not up to date: {result.error}", result.exit_code)
    return result.counts


class IndexFeeder:
    """Keeps an index up to date while the body of a `with` runs. What goes wrong is said, and tried again.

    Args:
        order: Which index.
        say: Hears what people should know.

    Attributes:
        failed: What the last look failed of; None if it did not.
    """

    def __init__(self, order: IndexOrder, say: Callable[[str], object]) -> None:
        self._order, self._say = order, say
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="textmill-index", daemon=True)
        self.failed: NoIndexError | None = None

    def __enter__(self) -> IndexFeeder:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End; what is half done is begun anew by whoever indexes next."""
        with self._lock:
            self._end.set()
            if self._process is not None:
                self._process.kill()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                self._listen()
                died = DIED
            except (OSError, ValueError, TypeError) as error:  # no process can be started, or it says what nobody understands
                died = f"{type(error).__name__}: {error}"
            if not self._end.is_set():
                self._hear(IndexResult({}, died, TRY_AGAIN))
                self._end.wait(self._order.every_s)

    def _listen(self) -> None:
        with self._lock:
            if self._end.is_set():
                return
            self._process = _started(self._order)
        with self._process as process:
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    self._hear(IndexResult(**json.loads(line)))
            finally:
                process.kill()

    def _hear(self, result: IndexResult) -> None:
        before, counts = self.failed, result.counts
        self.failed = NoIndexError(f"the index is not up to date: {result.error}", result.exit_code) if result.error else None
        if self.failed is not None:
            if str(self.failed) != str(before):
                self._say(str(self.failed))
        elif counts and (counts["added"] or counts["removed"] or before is not None):
            self._say(f"index: generation {counts['generation']}, {counts['parts']:,} parts, {counts['passages']:,} passages")


def _started(order: IndexOrder) -> subprocess.Popen[bytes]:
    """The process, with its order; in a session of its own, so that Ctrl-C comes to whoever started it, and only there."""
    pipe = subprocess.PIPE
    # Without buffers: nothing waits in one to be written, or read, when the process is gone.
    process = subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, bufsize=0, start_new_session=True)
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has died; its silence tells
        write_all(process.stdin.write, json.dumps(asdict(order)).encode() + b"\n")
    return process
