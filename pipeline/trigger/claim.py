"""A claim with an owner and an expiry, made of files that are created exclusively: it works on any store.

A claim is a folder. In it every tenure has a number: `000007.held` is its beginning, `000007.held.0002` its second renewal,
`000007.released` its end. Whoever creates the next number's beginning has the claim; the highest number always stays, so that
nobody who has looked long ago can create a number that was used before. A tenure that is not renewed may be followed once its
expiry, and the time by which clocks may differ, have passed; at once if its process ran on this machine and is dead.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.errors import ClaimedError, LostClaimError, StoreError, TakenError
from pipeline.store.base import Store
from pipeline.trigger.owner import Owner, is_dead, this_process

HELD, RELEASED = "held", "released"


@dataclass(frozen=True, slots=True)
class Tenure:
    """The newest tenure of a claim: its number, whether it was given back, what its newest renewal says."""

    number: int
    released: bool
    renewals: int
    owner: dict[str, Any]
    expires_s: float


class Claim:
    """Takes, renews and releases the claim in a folder of a store."""

    def __init__(
        self,
        store: Store,
        folder: str,
        claim_s: float = 120.0,
        skew_s: float = 1200.0,
        clock: Callable[[], float] = time.time,
        owner: Owner | None = None,
    ) -> None:
        """`claim_s` seconds it holds without a renewal; `skew_s` is how much clocks of machines may differ."""
        self._store, self._folder = store, folder
        self._claim_s, self._skew_s, self._clock = claim_s, skew_s, clock
        self.owner = owner or this_process()
        self._number = self._renewals = 0
        self._expires_s = 0.0

    def take(self) -> None:
        """Take the claim. Raises ClaimedError, with who holds it and till when, if somebody does."""
        now = self.look()
        if now is not None and not now.released and not self._is_stale(now):
            left = now.expires_s + self._skew_s - self._clock()
            who = now.owner.get("text") or "another process"
            raise ClaimedError(
                f"{self._store.url}/{self._folder} is held by {who}; if that is dead, it can be taken over in {left:,.0f} s"
            )
        number = 1 if now is None else now.number + 1
        try:
            self._expires_s = self._write(f"{number:06d}.{HELD}")
        except TakenError:
            raise ClaimedError(f"{self._store.url}/{self._folder}: another process was faster") from None
        newest = self.look()
        if newest is None or newest.number != number or newest.released:
            self._store.delete(f"{self._folder}/{number:06d}.{HELD}")
            raise ClaimedError(f"{self._store.url}/{self._folder}: another process was faster")
        self._number, self._renewals = number, 0
        self._forget_before(number)

    def renew(self) -> None:
        """Hold on for `claim_s` more. Raises LostClaimError if somebody has followed."""
        self.check()
        mine, old = f"{self._number:06d}.{HELD}", self._renewals
        try:
            expires_s = self._write(f"{mine}.{old + 1:04d}")
        except TakenError:
            raise self._lost() from None
        newest = self.look()
        if newest is None or newest.number != self._number:
            raise self._lost()
        self._renewals, self._expires_s = old + 1, expires_s
        if old > 1:
            self._store.delete(f"{self._folder}/{mine}.{old - 1:04d}")

    def check(self) -> None:
        """Raise LostClaimError if the claim has expired by this machine's clock: then nothing more may be published."""
        if not self._number or self._clock() > self._expires_s:
            raise self._lost()

    def release(self) -> None:
        """Give it back; what cannot be said now, the expiry will say."""
        if self._number:
            with suppress(StoreError):
                self._write(f"{self._number:06d}.{RELEASED}")
                self._forget_before(self._number, True)
        self._number = 0

    def look(self) -> Tenure | None:
        """The newest tenure, or None if there never was one."""
        names = [entry.path.rsplit("/", 1)[-1] for entry in self._store.list(self._folder)]
        numbers = [name.split(".") for name in names]
        if not numbers:
            return None
        number = max(int(one[0]) for one in numbers)
        mine = sorted(one for one in numbers if int(one[0]) == number)
        if any(one[1] == RELEASED for one in mine):
            return Tenure(number, True, 0, {}, 0.0)
        newest = ".".join(mine[-1])
        owner, expires_s = self._read(f"{self._folder}/{newest}")
        return Tenure(number, False, int(mine[-1][2]) if len(mine[-1]) > 2 else 0, owner, expires_s)

    def _is_stale(self, tenure: Tenure) -> bool:
        if tenure.owner and is_dead(tenure.owner):
            return True
        return self._clock() > tenure.expires_s + self._skew_s

    def _read(self, path: str) -> tuple[dict[str, Any], float]:
        """Owner and expiry; of a file that is not whole (yet) the owner is unknown and the time is that of the file."""
        try:
            with self._store.open_read(path) as stream:
                found = json.load(stream)
            return dict(found["owner"]), float(found["expires_s"])
        except (StoreError, OSError, ValueError, KeyError, TypeError):
            entry = self._store.stat(path)
            made_s = self._clock() if entry is None else entry.modified_ns / 1e9
            return {}, made_s + self._claim_s

    def _write(self, name: str) -> float:
        expires_s = self._clock() + self._claim_s
        body = {"owner": {**asdict(self.owner), "text": str(self.owner)}, "expires_s": expires_s}
        with self._store.create_exclusive(f"{self._folder}/{name}") as stream:
            stream.write(json.dumps(body).encode())
        return expires_s

    def _forget_before(self, number: int, own: bool = False) -> None:
        """Remove files of older tenures and, with `own`, all but the last word of this one."""
        for entry in list(self._store.list(self._folder)):
            first, kind, *_ = entry.path.rsplit("/", 1)[-1].split(".")
            if int(first) < number or (own and int(first) == number and kind == HELD):
                with suppress(StoreError):
                    self._store.delete(entry.path)

    def _lost(self) -> LostClaimError:
        return LostClaimError(f"{self._store.url}/{self._folder}: the claim of {self.owner} has expired or was taken over")


class Held:
    """A claim as a context: taken, renewed by a thread while the body runs, and given back."""

    def __init__(self, claim: Claim, every_s: float) -> None:
        self._claim, self._every_s = claim, every_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="claim", daemon=True)
        self._lost: LostClaimError | None = None

    def __enter__(self) -> Held:
        self._claim.take()
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._end.set()
        self._thread.join()
        if self._lost is None:
            self._claim.release()

    def check(self) -> None:
        """Raise LostClaimError if the claim is no longer ours."""
        if self._lost is not None:
            raise self._lost
        self._claim.check()

    def _renew(self) -> None:
        while not self._end.wait(self._every_s):
            try:
                self._claim.renew()
            except LostClaimError as error:
                self._lost = error
                return
            except StoreError:
                continue  # the store may be well again before the claim expires; `check` looks at that
