"""A claim where no lock ends with its process: a lease that its owner renews, and that another takes over when it has expired.

Leases of one name are numbered files in a folder; whoever creates the next number first holds it, so of several that see an
expired one exactly one takes it over. A sign of life is a file of its own, NUMBER.XXXXXXXX: what a mute machine carries out
after the lease has ended is then nobody's lease. Times are the store's own: the clocks of the machines do not matter.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from pipeline.errors import ClaimedError, StoreError, TakenError
from pipeline.store.base import Entry, Store

# So often a lease is renewed while it lasts once.
RENEWALS = 4
# Those that this process holds.
_held: set[str] = set()


class LeasingStore(Store, Protocol):
    """A store that can also write over a small file."""

    def write_over(self, path: str, data: bytes) -> Entry:
        """Write a file in the place of the one there was; gives what is there then."""
        ...


def _machine() -> str:
    """Where process ids mean what they mean here."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return uuid4().hex


class _Lease:
    def __init__(self, store: LeasingStore, folder: str, number: int, lease_s: float, mine: bytes) -> None:
        self._store, self._folder, self._number, self._lease_s = store, folder, number, lease_s
        self._until = time.monotonic() + lease_s
        self._mine = mine
        self._lost: str | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="textmill-lease", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        signs: list[str] = []
        while not self._over.wait(self._lease_s / RENEWALS):
            began = time.monotonic()
            try:
                if (other := _newest(self._store, self._folder)) is not None and other[0] > self._number:
                    self._lost = f"{self._store.url} was taken over by {_owner(self._store, other[1]).get('who', 'another run')}"
                    return
                signs.append(f"{self._folder}/{self._number:08d}.{uuid4().hex[:8]}")
                self._store.write_over(signs[-1], self._mine)
                self._until = began + self._lease_s
                while len(signs) > 1:
                    self._store.delete(signs[0])
                    del signs[0]
            except StoreError:
                continue  # there is time for more tries

    def check(self) -> None:
        if self._lost is None and time.monotonic() > self._until:
            self._lost = f"the claim on {self._store.url} could not be renewed for {self._lease_s:.0f} s"
        if self._lost is not None:
            raise ClaimedError(f"{self._lost}; this run has stopped, what it published stays; run the command again")

    def end(self) -> None:
        self._over.set()
        self._thread.join(self._lease_s)
        if self._lost is None:
            with suppress(StoreError):
                # Ours last, and its signs behind it; what somebody has put there since is not ours.
                for entry in list(self._store.list(self._folder)):
                    if (number := _name(entry).partition(".")[0]).isdigit() and int(number) <= self._number:
                        self._store.delete(entry.path)


@contextmanager
def lease(store: LeasingStore, path: str, lease_s: float) -> Iterator[Callable[[], None]]:
    """Hold a name. The body is given a function that raises ClaimedError once the name is not held any more."""
    name = uuid4().hex
    mine = _mine(name, lease_s)
    _held.add(name)
    try:
        held = _Lease(store, path, _take(store, path, lease_s, mine), lease_s, mine)
        try:
            yield held.check
        finally:
            held.end()
    finally:
        _held.discard(name)


def _take(store: LeasingStore, folder: str, lease_s: float, mine: bytes) -> int:
    newest = _newest(store, folder)
    if newest is not None:
        number, entry = newest
        owner = _owner(store, entry)
        # The owner's process has ended where we can see it; elsewhere only time tells.
        if not _dead(owner) and (age := _age_s(store, folder, entry)) <= (allowed := float(owner.get("lease_s", lease_s))):
            raise _claimed(store, owner, f"ended by itself, in {allowed - age:.0f} s if it gives no sign until then")
    else:
        number = 0
    try:
        with store.create_exclusive(f"{folder}/{number + 1:08d}") as stream:
            stream.write(mine)
    except TakenError:
        raise _claimed(store, {}, "ended") from None
    # One that was expired when it was looked at may have been renewed since: its owner sees our number and stops.
    return number + 1


def _claimed(store: Store, owner: dict[str, Any], until: str) -> ClaimedError:
    return ClaimedError(f"{store.url} is being written by {owner.get('who', 'another process')}; wait until it has {until}")


def _name(entry: Entry) -> str:
    return entry.path.rpartition("/")[2]


def _newest(store: Store, folder: str) -> tuple[int, Entry] | None:
    """The highest number that is held, and its file as it was modified last, or its last sign of life."""
    found = list(store.list(folder))
    base = max((entry for entry in found if _name(entry).isdigit()), key=lambda entry: int(_name(entry)), default=None)
    if base is None:
        return None
    signs = [entry.modified_ns for entry in found if _name(entry).startswith(f"{_name(base)}.")]
    return int(_name(base)), replace(base, modified_ns=max([base.modified_ns, *signs]))


def _mine(name: str, lease_s: float) -> bytes:
    who = f"process {os.getpid()} on {os.uname().nodename}"
    said = {"who": who, "name": name, "pid": os.getpid(), "machine": _machine(), "lease_s": lease_s}
    return json.dumps(said).encode() + b"\n"


def _owner(store: Store, entry: Entry) -> dict[str, Any]:
    with suppress(StoreError, OSError, ValueError), store.open_read(entry.path) as stream:
        found = json.loads(stream.read())
        if isinstance(found, dict):
            return found
    return {}


def _dead(owner: dict[str, Any]) -> bool:
    if owner.get("machine") != _machine() or not isinstance(owner.get("pid"), int):
        return False
    if owner["pid"] == os.getpid():
        return owner.get("name") not in _held  # it has ended, and the store did not take that
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _age_s(store: LeasingStore, folder: str, entry: Entry) -> float:
    """How long ago the lease was renewed, by the store's clock."""
    probe = f"{folder}/now-{uuid4().hex}"
    now = store.write_over(probe, b"\n").modified_ns
    with suppress(StoreError):
        store.delete(probe)
    return (now - entry.modified_ns) / 1e9
