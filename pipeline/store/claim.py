"""The one claim: an owner and an expiry, made of files that are created exclusively, on any store.

A claim is a folder. Every tenure in it has a number: `000007.held` is its beginning, `000007.held.0002` a renewal,
`000007.released` its end. Whoever creates the beginning of the next number has the claim. The highest number always stays, so
that nobody who looked long ago can use a number again. A tenure that was given back is followed at once, and so is one whose
process ran on this machine and is dead; any other one when it has not been renewed for its owner's `claim_s` and a grace.

Times. No machine's clock is compared with another's. A taker judges by the store's clock: it writes a probe, and only then lists
the claim's files; the probe's time of modification less that of the tenure's newest file is an age that is never too high. The
owner counts from before it began to write that file, by a clock that goes on while its machine sleeps, and a renewal counts only
if it was complete before the time was up. So an owner that was paused finds that it has lost the claim before anybody has it: for
good, even if nobody has followed. (A clock of the store that jumps, or a virtual machine all of whose clocks stood still, breaks
this: then a renewal finds the higher number.)
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from pipeline.errors import ClaimedError, LostClaimError, MissingError, StoreError, TakenError, UnavailableError
from pipeline.store.base import Entry, Store
from pipeline.store.os_errors import translated
from pipeline.store.owner import Owner, is_dead, is_this_process, this_process

# A store may write times in whole seconds, and its servers' clocks differ a little.
GRACE_S = 2.0
# So often a claim is renewed while it lasts once; a renewal that failed is tried again so much earlier.
RENEWALS, TRIES = 4, 5
PROBE = "now-"
# All else in the folder is none of a claim's: marks that exclusive creation leaves, probes, leases of older versions (00000001).
_NAME = re.compile(r"(\d{6,12})\.(?:(?P<released>released)|held(?:\.\d{4,8})?)")
_OF_A_NUMBER = re.compile(r"(\d{6,12})(?:\..*)?")
# A probe that is so old was left by a taker that was killed.
_LEFT_NS = 3600 * 10**9

# The claims of this process that are not over: of another one the store may have refused the end.
_live: set[str] = set()


def boottime() -> float:
    """Read the clock of this machine that nobody sets and that goes on while the machine sleeps (CLOCK_BOOTTIME).

    Returns:
        Seconds since boot.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Tenure:
    """The newest tenure of a claim.

    Attributes:
        number: Its number, from 1 on.
        released: Whether it was given back.
        seen_ns: Time of modification of its newest file, nanoseconds since the epoch by the store's clock.
    """

    number: int
    released: bool
    seen_ns: int


class Claim:
    """Takes, renews, checks and releases the claim in a folder of a store; `held` does all that around a body.

    Args:
        store: The store.
        folder: Path of the folder that holds the claim's files.
        claim_s: Seconds for which the claim holds without a renewal.
        owner: Who takes it; this process if not given.
        clock: Gives seconds; must go on while the machine sleeps.

    Attributes:
        number: Number of the tenure; 0 while the claim is not taken.
    """

    def __init__(
        self, store: Store, folder: str, claim_s: float, owner: Owner | None = None, clock: Callable[[], float] = boottime
    ) -> None:
        self._store, self._folder, self.claim_s, self._clock = store, folder, claim_s, clock
        self.owner = owner or this_process()
        self.number = 0
        self._until = 0.0
        self._lost = ""
        self._lock = threading.Lock()
        self._renewals = 0
        self._signs: list[str] = []

    def take(self) -> None:
        """Take the claim.

        Raises:
            ClaimedError: Somebody holds it, and the message says who and for how long; or another process was faster.
            LostClaimError: Taking it took longer than `claim_s`.
            StoreError: The store has refused or not answered; the claim is not taken.
        """
        before = self._free()
        number = 1 if before is None else before.number + 1
        _live.add(self.owner.id)
        try:
            began = self._clock()
            self._begin(number)
            newest = self.look()
            if newest is None or newest.number != number or newest.released:
                raise self._faster()
            with self._lock:
                self.number, self._until, self._lost, self._signs = number, began + self.claim_s, "", []
            self.check()
        except BaseException:
            self.number = 0
            self._take_back(number)
            _live.discard(self.owner.id)
            raise
        self._forget(number)

    def renew(self) -> None:
        """Prolong the claim: it holds for `claim_s` from the beginning of this call.

        Raises:
            LostClaimError: The time was up, or somebody else has taken the claim over.
            StoreError: The store has refused or not answered; the claim still holds until its time is up, and renewing may be
                tried again.
        """
        self.check()
        self._renewals += 1  # also if it fails: a lost answer leaves a file of that name
        began = self._clock()
        self._signs.append(f"{self.number:06d}.held.{self._renewals:04d}")
        self._write(self._signs[-1])
        with self._lock:
            self._checked()
            self._until = began + self.claim_s
        newest = self.look()
        if newest is None or newest.number != self.number or newest.released:
            who = self._who(newest)
            with self._lock:
                self._lost = f"was taken over by {who}"
                self._checked()
        while len(self._signs) > 2:
            self._store.delete(f"{self._folder}/{self._signs[0]}")
            del self._signs[0]

    def check(self) -> None:
        """Raise unless the claim is held.

        A claim that was lost is lost for good: nothing more may be published under it.

        Raises:
            LostClaimError: The claim is not held.
        """
        with self._lock:
            self._checked()

    def release(self) -> None:
        """Give the claim back; nothing happens to one that was lost.

        If the store refuses this, others can take the claim when its time is up.
        """
        with suppress(LostClaimError, StoreError):
            self.check()
            number, self.number = self.number, 0
            self._write(f"{number:06d}.released")
            self._forget(number, own=True)
        self.number = 0
        _live.discard(self.owner.id)

    def look(self) -> Tenure | None:
        """Find the newest tenure of the claim, whoever's it is.

        Returns:
            The tenure; None if there never was one.
        """
        named = [(_NAME.fullmatch(name), entry) for entry, name in self._named()]
        found = [(int(match[1]), match["released"], entry) for match, entry in named if match is not None]
        if not found:
            return None
        number = max(one for one, _, _ in found)
        mine = [(released, entry) for one, released, entry in found if one == number]
        return Tenure(number, any(released for released, _ in mine), max(entry.modified_ns for _, entry in mine))

    def holder(self) -> str | None:
        """Tell who holds the claim.

        Returns:
            The holder as text; None if nobody holds it, or a process of this machine that is dead.
        """
        tenure = self.look()
        if tenure is None or tenure.released:
            return None
        owner, _ = self._said(tenure.number)
        return None if self._is_over(owner) else str(owner.get("text") or "another process")

    def _free(self) -> Tenure | None:
        """The newest tenure, which may be followed. Raises ClaimedError."""
        first = self.look()
        if first is None or first.released:
            return first
        owner, claim_s = self._said(first.number)
        if self._is_over(owner):
            return first
        now_ns = self._probe()
        newest = self.look()  # after the probe: what is seen now may be younger than it seems, never older
        if newest is None or newest.number != first.number:
            raise self._faster()
        left_s = claim_s + min(GRACE_S, claim_s / 2) - (now_ns - newest.seen_ns) / 1e9
        if newest.released or left_s < 0:
            return newest
        who = owner.get("text") or "another process"
        text = f"wait until it has ended; if it is dead, the claim can be taken over in {math.ceil(left_s)} s"
        raise ClaimedError(f"{self._store.url}/{self._folder} is held by {who}; {text}")

    def _begin(self, number: int) -> None:
        """Create a number's beginning; an error after which it is there all the same was a lost answer."""
        try:
            self._write(f"{number:06d}.held")
        except StoreError as error:
            if self._is_mine(number):
                return
            newest = None
            if not isinstance(error, TakenError):
                with suppress(StoreError):
                    newest = self.look()
            if isinstance(error, TakenError) or (newest is not None and newest.number >= number):
                raise self._faster() from error
            raise

    def _take_back(self, number: int) -> None:
        """Say that a tenure of ours is over which has not come about."""
        with suppress(StoreError):
            if self._is_mine(number):
                with suppress(StoreError):
                    self._write(f"{number:06d}.released")
                    self._store.delete(f"{self._folder}/{number:06d}.held")

    def _is_mine(self, number: int) -> bool:
        with suppress(StoreError):
            return bool(self._said(number)[0].get("id") == self.owner.id)
        return False

    def _is_over(self, owner: dict[str, Any]) -> bool:
        return is_dead(owner) or (is_this_process(owner) and owner.get("id") not in _live)

    def _said(self, number: int) -> tuple[dict[str, Any], float]:
        """Owner and `claim_s` of a tenure; nobody and ours where its beginning is gone or not whole.

        Who is still writing its beginning looks again before it works. Raises StoreError if it cannot be read now.
        """
        path = f"{self._folder}/{number:06d}.held"
        try:
            with translated(path), self._store.open_read(path) as stream:
                found = json.loads(stream.read())
            claim_s = float(found.get("claim_s", self.claim_s))
            return dict(found["owner"]), claim_s if 0 < claim_s < math.inf else self.claim_s
        except (MissingError, ValueError, KeyError, TypeError, AttributeError):
            return {}, self.claim_s

    def _who(self, tenure: Tenure | None) -> str:
        with suppress(StoreError):
            return str((tenure and self._said(tenure.number)[0].get("text")) or "another process")
        return "another process"

    def _probe(self) -> int:
        """What time it is by the store's clock, or was a moment ago."""
        path = f"{self._folder}/{PROBE}{uuid4().hex}"
        try:
            with self._store.create_exclusive(path) as stream:
                stream.write(b"\n")
            entry = self._store.stat(path)
        finally:
            with suppress(StoreError):
                self._store.delete(path)
        if entry is None:
            raise UnavailableError(path, "was written and is not there; try again")
        return entry.modified_ns

    def _write(self, name: str) -> None:
        body = {"owner": {**asdict(self.owner), "text": str(self.owner)}, "claim_s": self.claim_s}
        with self._store.create_exclusive(f"{self._folder}/{name}") as stream:
            stream.write(json.dumps(body).encode())

    def _named(self) -> list[tuple[Entry, str]]:
        return [(entry, entry.path[len(self._folder) + 1 :]) for entry in self._store.list(self._folder)]

    def _forget(self, number: int, own: bool = False) -> None:
        """Remove what is left of older tenures, their marks too, and, with `own`, all but the last word of this one."""
        with suppress(StoreError):
            found = self._named()
            newest_ns = max((entry.modified_ns for entry, _ in found), default=0)
            for entry, name in found:
                match = _OF_A_NUMBER.fullmatch(name)
                older = match is not None and int(match[1]) < number
                mine = own and match is not None and int(match[1]) == number and not name.endswith(".released")
                if older or mine or (name.startswith(PROBE) and entry.modified_ns < newest_ns - _LEFT_NS):
                    self._store.delete(entry.path)

    def _checked(self) -> None:
        if self.number and not self._lost and self._clock() > self._until:
            self._lost = f"could not be renewed for {self.claim_s:g} s"
        if self._lost or not self.number:
            what = f"the claim on {self._store.url}/{self._folder} {self._lost or 'is not held'}"
            raise LostClaimError(f"{what}; this run has stopped, what it published stays; run the command again")

    def _faster(self) -> ClaimedError:
        return ClaimedError(f"{self._store.url}/{self._folder}: another process was faster; wait until it has ended")


def holder(store: Store, folder: str) -> str | None:
    """Tell who holds the claim in a folder.

    Args:
        store: The store.
        folder: Path of the folder that holds the claim's files.

    Returns:
        The holder as text; None if nobody holds it, or a process of this machine that is dead.
    """
    return Claim(store, folder, 1.0).holder()


@contextmanager
def held(claim: Claim, every_s: float | None = None) -> Iterator[Claim]:
    """Hold a claim around the body of a `with`: take it, renew it from a thread, and give it back.

    The body calls the claim's `check` before each step that cannot be undone.

    Args:
        claim: A claim that is not taken yet.
        every_s: Seconds between renewals; a quarter of the claim's `claim_s` if not given.

    Yields:
        The claim, taken.

    Raises:
        ClaimedError: Somebody holds it.
        StoreError: The store has refused or not answered while the claim was taken.
    """
    claim.take()
    end = threading.Event()
    each_s = claim.claim_s / RENEWALS if every_s is None else every_s

    def renew() -> None:
        wait_s = each_s
        while not end.wait(wait_s):
            try:
                claim.renew()
                wait_s = each_s
            except LostClaimError:
                return
            except StoreError:  # it may be well again before the claim has expired
                wait_s = each_s / TRIES

    thread = threading.Thread(target=renew, name="textmill-claim", daemon=True)
    thread.start()
    try:
        yield claim
    finally:
        end.set()
        thread.join(claim.claim_s)
        claim.release()


@contextmanager
def claimed(store: Store, folder: str, claim_s: float) -> Iterator[Callable[[], None]]:
    """Hold the claim in a folder around the body of a `with`.

    Args:
        store: The store.
        folder: Path of the folder that holds the claim's files.
        claim_s: Seconds for which the claim holds without a renewal.

    Yields:
        A function that raises LostClaimError once the claim is no longer held.

    Raises:
        ClaimedError: Somebody holds it.
        StoreError: The store has refused or not answered while the claim was taken.
    """
    with held(Claim(store, folder, claim_s)) as claim:
        yield claim.check
