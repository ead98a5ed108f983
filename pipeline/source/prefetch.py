"""Threads that read files ahead of the model, in bounded memory, with the order of the files kept."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")

QUEUE_BLOCKS = 4
_POLL_S = 0.1
STOP_S = 2.0


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Reader(threading.Thread):
    def __init__(self, reader: Callable[[], Iterator[object]], stop: threading.Event) -> None:
        super().__init__(name="textmill-read", daemon=True)
        self.queue: Queue[object] = Queue(QUEUE_BLOCKS)
        self._reader, self._stopped = reader, stop

    def put(self, item: object) -> None:
        while not self._stopped.is_set():
            try:
                return self.queue.put(item, timeout=_POLL_S)
            except Full:
                continue

    def run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._reader():
                self.put(item)
                if self._stopped.is_set():
                    return
        except BaseException as raised:  # noqa: BLE001 - handed to the consumer, who raises it
            error = raised
        self.put(_End(error))


def read_ahead(
    readers: Sequence[Callable[[], Iterator[T]]], threads: int = 2, check: Callable[[], object] = lambda: None
) -> Generator[T, None, None]:
    """Give the items of all readers in their order, while threads read ahead in bounded memory.

    Each reader that has begun holds up to QUEUE_BLOCKS items that wait. Closing the iterator stops the threads; one that hangs in
    a read is abandoned after STOP_S seconds.

    Args:
        readers: Functions each of which is called in a thread of its own, and iterated over there.
        threads: How many readers are read at once.
        check: Is called several times a second while no item comes; what it raises is raised here.

    Yields:
        The items of the first reader, then those of the second, and so on.

    Raises:
        BaseException: What a reader raises, in its place among the items.
    """
    stop = threading.Event()
    waiting = deque(readers)
    lanes: deque[_Reader] = deque()
    try:
        while waiting or lanes:
            while waiting and len(lanes) < threads:
                lane = _Reader(waiting.popleft(), stop)
                lane.start()
                lanes.append(lane)
            try:
                item = lanes[0].queue.get(timeout=_POLL_S)
            except Empty:
                check()
                continue
            if not isinstance(item, _End):
                yield item  # type: ignore[misc]
                continue
            lanes.popleft().join()
            if item.error is not None:
                raise item.error
    finally:
        stop.set()
        until = time.monotonic() + STOP_S
        for lane in lanes:
            lane.join(timeout=max(0.0, until - time.monotonic()))
