"""What runs in an actor: a worker that can be told to leave a split undone while it is at it."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from pipeline.contract import PartResult, Split
from pipeline.errors import Cancelled
from pipeline.worker.worker import TagWorker, WorkerSpec


class RevokedError(Cancelled):
    """The lease is not wanted any more. Control flow, which passes every `except Exception` on its way to `WorkerActor.run`."""


@dataclass(frozen=True, slots=True)
class LeaseOutcome:
    """What a lease came to.

    Attributes:
        seconds: Time of work.
        done: The part, None if the lease was called back.
    """

    seconds: float
    done: PartResult | None


class WorkerActor:
    """A worker in an actor: `run` does one lease after the other in one thread, `call_back` is heard in another.

    Args:
        work: What the worker must know of the run.
    """

    def __init__(self, work: WorkerSpec) -> None:
        self._called_back: set[int] = set()
        self._work = work
        self._worker: TagWorker | None = None

    def load(self) -> tuple[str, tuple[str, ...]]:
        """Load the model; not done by the constructor, as of what that raises Ray keeps only the text.

        Returns:
            Id of the node that it is on, and the names of that machine.

        Raises:
            ModelMissingError: The node has no such model.
            StoreError: Input or output cannot be reached from here.
        """
        import ray

        self._worker = TagWorker(self._work)
        return str(ray.get_runtime_context().get_node_id()), (ray.util.get_node_ip_address(), socket.gethostname())

    def run(self, lease: int, split: Split, isolated: bool) -> LeaseOutcome:
        """Make a part of a split; raises what TagWorker.run raises.

        Args:
            lease: Number of the lease.
            split: The split.
            isolated: See `TagWorker.run`.

        Returns:
            The part, or that the lease was called back.
        """
        began = time.monotonic()

        def check() -> None:
            if lease in self._called_back:
                raise RevokedError

        assert self._worker is not None
        try:
            check()
            done = self._worker.run(split, check, isolated=isolated)
        except RevokedError:
            self._called_back.discard(lease)
            return LeaseOutcome(time.monotonic() - began, None)
        return LeaseOutcome(time.monotonic() - began, done)

    def call_back(self, lease: int) -> None:
        """Leave a lease undone, whether it has begun or not.

        Args:
            lease: Number of the lease.
        """
        self._called_back.add(lease)
