"""What a file system's client must be able to do, and the calls to it: under a deadline, tried again, on another client."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Protocol, TypeVar, cast

from pipeline.errors import ConfigError, DeadlineError, SafeModeError, UnavailableError
from pipeline.signals import stop_requested
from pipeline.store.settings import StoreConfig
from pipeline.store.timeouts import CallTimeoutError, call_with_timeout

T = TypeVar("T")
log = logging.getLogger("textmill")

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
# After a change to the other client the first one is tried again when so long has passed.
CHANGE_S = 60.0
# The slowest transfer that is waited for, bytes/s; a listing may take so many times the time of a request.
SLOWEST = 1 << 20
LISTING = 10.0

# What happened in this process: requests tried again, changes of the client, clients given up.
noticed: Counter[str] = Counter(store_retries=0, store_changes=0, store_clients_given_up=0)


@dataclass(frozen=True, slots=True)
class Status:
    """What a client tells of a file or folder.

    Attributes:
        path: Absolute path in the file system.
        folder: Whether it is a folder.
        size: Size in bytes.
        modified_ns: Time of the last modification, nanoseconds since the epoch.
        block_bytes: Size of a block in bytes; 0 where there are none.
    """

    path: str
    folder: bool
    size: int
    modified_ns: int
    block_bytes: int = 0


Ranged = Callable[[int, int], bytes]


class Client(Protocol):
    """One connection to a file system.

    Paths are absolute. Every call may hang, or raise a StoreError; after an UnavailableError it is not known whether the call
    has had its effect.

    Attributes:
        name: What the client is called, e.g. `webhdfs`.
    """

    name: str
    given_up: bool
    """Set when a call has taken too long: what it still does is for nobody."""

    def status(self, path: str) -> Status | None:
        """Look at a file or folder.

        Args:
            path: Absolute path.

        Returns:
            Its status; None if nothing bears the name.
        """
        ...

    def children(self, path: str) -> list[Status]:
        """List what a folder holds, one level deep.

        Args:
            path: Absolute path of the folder.

        Returns:
            Files and folders in it; empty if there is no such folder.
        """
        ...

    def reader(self, path: str) -> Ranged:
        """Prepare to read ranges of a file.

        Args:
            path: Absolute path of the file.

        Returns:
            A function of start and length, in bytes, that reads exactly that range; all of it has to lie inside the file.
        """
        ...

    def create(self, path: str, data: BinaryIO, overwrite: bool) -> None:
        """Write a whole file, and make the folders above it that are missing.

        Args:
            path: Absolute path of the file.
            data: Stream that is read to its end.
            overwrite: Whether a file that is there may be replaced.

        Raises:
            TakenError: The name is taken, and `overwrite` is False.
        """
        ...

    def rename(self, source: str, target: str) -> None:
        """Rename a file or folder; the folder of the new name has to be there.

        Args:
            source: Absolute path.
            target: New absolute path.

        Raises:
            TakenError: The new name is taken.
            MissingError: There is no `source`.
        """
        ...

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it, as far as they are missing.

        Args:
            path: Absolute path of the folder.
        """
        ...

    def delete(self, path: str, recursive: bool = True) -> None:
        """Remove a file or folder; nothing happens if there is neither.

        Args:
            path: Absolute path.
            recursive: Whether a folder is removed with all that is in it; else only an empty one is.

        Raises:
            TakenError: The folder is not empty, and `recursive` is False.
        """
        ...


class _Slot:
    """A client, made anew once it is stuck."""

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._client: Client | None = None

    def get(self) -> Client:
        with self._lock:
            self._client = self._client or self._make()
            return self._client

    def give_up(self, client: Client) -> None:
        with self._lock:
            client.given_up = True
            if self._client is client:
                self._client = None


class _Guarded:
    """A client each of whose calls has a deadline; one that is stuck is given up."""

    def __init__(self, client: Client, slot: _Slot, allowed: float, well: Callable[[], None]) -> None:
        self.raw, self._slot, self._allowed, self._well = client, slot, allowed, well

    def __getattr__(self, name: str) -> Any:
        return partial(self._timed, getattr(self.raw, name))

    def reader(self, path: str) -> Ranged:
        read = self._timed(self.raw.reader, path)
        return lambda start, length: self._timed(lambda _: read(start, length), path)

    def _timed(self, call: Callable[..., T], path: str, *rest: Any, **more: Any) -> T:
        try:
            result = call_with_timeout(self._allowed, lambda: call(path, *rest, **more))
        except CallTimeoutError:
            self._slot.give_up(self.raw)
            noticed["store_clients_given_up"] += 1
            message = f"no answer within {self._allowed:.0f} s; is the file system up? timeout_s in [store] allows more"
            raise DeadlineError(path, message) from None
        self._well()
        return result


class RetryingClient:
    """Calls the first of several clients, with deadlines and retries; while that one fails, the next.

    After a change to the next client the first one is tried again when CHANGE_S seconds have passed. A client that does not
    answer in time is given up, and a new one is made for later calls.

    Args:
        makers: Make the clients, the preferred one first; each is called when its client is first needed.
        config: Deadline of a request (`timeout_s`) and time for retries (`retry_s`).
    """

    def __init__(self, makers: Sequence[Callable[[], Client]], config: StoreConfig) -> None:
        self._slots, self._config = [_Slot(make) for make in makers], config
        self._now, self._until = 0, 0.0
        self._in_vain = False
        self._left_out: set[int] = set()  # clients that cannot be made here

    def __call__(self, path: str, call: Callable[[Client], T], bytes_: int = 0, listing: bool = False) -> T:
        """Make a call on a client, and try it again for `retry_s` seconds while it raises UnavailableError.

        It is tried only once if an earlier call failed for that long and no request was answered since, or if the process is to
        stop.

        Args:
            path: The file that the call is about, which errors name.
            call: Makes the requests on the client that it is given; may be called again, after a try that had its effect. Each
                request has a deadline of its own.
            bytes_: Bytes that a request moves at most; they extend the deadline by one second for each MiB.
            listing: Whether a request lists, which has LISTING times the usual deadline.

        Returns:
            What `call` returns.

        Raises:
            UnavailableError: No try has succeeded; the error is that of the preferred client, where that one was tried.
            StoreError: The file system has refused; this is not tried again.
            ConfigError: The preferred client cannot be made here.
        """
        allowed = self._config.timeout_s * (LISTING if listing else 1) + bytes_ / SLOWEST
        began, wait = time.monotonic(), FIRST_WAIT_S
        first: UnavailableError | None = None
        while True:
            at = self._which()
            try:
                return self._once(self._slots[at], path, call, allowed)
            except UnavailableError as error:
                first = error if at == 0 else first
                patience_s = 0 if self._in_vain or stop_requested() else self._config.retry_s
                if time.monotonic() + wait > began + patience_s:
                    self._in_vain = True
                    raise first or error from None  # what the client says that was chosen
                if not noticed["store_retries"]:
                    log.warning("%s; tried again for %.0f s", error, self._config.retry_s)
                noticed["store_retries"] += 1
                self._change(at, error)
            except ConfigError as error:
                if at == 0:
                    raise
                # What the other client lacks is not what is wrong: the first one is tried again, and its error is told.
                self._leave_out(at, error)
                continue
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(2 * wait, LONGEST_WAIT_S)

    def _once(self, slot: _Slot, path: str, call: Callable[[Client], T], allowed: float) -> T:
        try:
            client = call_with_timeout(allowed, slot.get)
        except CallTimeoutError:
            raise DeadlineError(path, f"no connection within {allowed:.0f} s; is the file system up?") from None
        return call(cast(Client, _Guarded(client, slot, allowed, self._well)))

    def _well(self) -> None:
        self._in_vain = False

    def _which(self) -> int:
        if self._now and time.monotonic() > self._until:
            self._now = 0
        return self._now

    def _change(self, at: int, error: UnavailableError) -> None:
        other = (at + 1) % len(self._slots)
        if other == at or other in self._left_out or at != self._now or isinstance(error, SafeModeError):
            return
        self._now, self._until = other, time.monotonic() + CHANGE_S
        noticed["store_changes"] += 1
        log.warning("the store goes on with its client %d of %d: %s", self._now + 1, len(self._slots), error)

    def _leave_out(self, at: int, error: ConfigError) -> None:
        self._left_out.add(at)
        self._now = 0
        log.warning("the store has no client %d here: %s", at + 1, error)
