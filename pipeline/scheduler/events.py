"""What the policy hears and what it orders. Times are seconds of any clock that does not go back; the policy has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Arrived:
    """Splits wait from now on: `splits` are numbers (each once in a run) with predicted tokens.

    A `priority` of 1 goes before all that has waited for less than `WAIT_S` longer. `isolated`: somebody died over them.
    `homes`: the places, by number, where the data of some of them lies.
    """

    now: float
    splits: tuple[tuple[int, int], ...]
    priority: float = 0.0
    isolated: frozenset[int] = frozenset()
    homes: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerJoined:
    """A worker has loaded its model; `speed` in predicted tokens/s is what is known of its kind, None if nothing is.

    `home` is the place that it is at, as `Arrived` numbers them.
    """

    now: float
    worker: int
    speed: float | None = None
    home: int | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A lease has ended with its split published, by this worker or another, after `seconds` of work."""

    now: float
    lease: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A lease has ended without; `again` says whether another try may help."""

    now: float
    lease: int
    again: bool


@dataclass(frozen=True, slots=True)
class Stopped:
    """A lease that was called back has ended without a part."""

    now: float
    lease: int


@dataclass(frozen=True, slots=True)
class Draining:
    """A worker will be taken away soon (a notice of preemption, a node that is drained)."""

    now: float
    worker: int


@dataclass(frozen=True, slots=True)
class WorkerVanished:
    """A worker is gone.

    Attributes:
        blame: Whether it died by itself, over the lease `over` if it was at one; else its node went, or it was taken away.
    """

    now: float
    worker: int
    blame: bool = True
    over: int | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; due at the time that `Policy.wake` names, harmless at any other."""

    now: float


Event = Arrived | WorkerJoined | Finished | Failed | Stopped | Draining | WorkerVanished | Tick


class Lease(NamedTuple):
    """Command: this worker does this split after those that it has. No two leases have one number.

    `isolated` if a worker has died over the split; `copy` if another worker has it too, and is late. A tuple: it is made a
    million times, in a third of what a frozen dataclass takes.
    """

    number: int
    worker: int
    split: int
    isolated: bool = False
    copy: bool = False


@dataclass(frozen=True, slots=True)
class Revoke:
    """Command: this lease is not wanted any more; its end is told as Stopped, or as Finished if it was too late."""

    lease: int
    worker: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Command: this split is not tried again in this run."""

    split: int


@dataclass(frozen=True, slots=True)
class Replace:
    """Command: start another worker in this one's place; it gets the number `by`."""

    worker: int
    by: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Command: this worker hangs; end it. Its end is told as Lost."""

    worker: int


@dataclass(frozen=True, slots=True)
class EndRun:
    """Command: no worker can be started; say so and end."""

    reason: str


Command = Lease | Revoke | GiveUp | Replace | Kill | EndRun
