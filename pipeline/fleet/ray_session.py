"""The Ray that a run or a report works on while it lasts: how it is, what it has, and whether it still is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import Any, TypeVar

from pipeline.errors import WorkerLostError
from pipeline.fleet.cluster_view import ClusterState, ClusterView
from pipeline.fleet.ray_connection import HEAD_S, ended, join
from pipeline.fleet.ray_errors import told
from pipeline.store.timeouts import CallTimeoutError, call_with_timeout

T = TypeVar("T")

# A Ray of this process's own ends its workers before itself, by so much.
_GRACE_S, _POLL_S = 3.0, 0.2
# Leaving a cluster whose head does not answer may take so long.
_SHUT_S = 5.0


class RaySession:
    """A Ray that is joined, or started by this process, and left or ended by `close`.

    Args:
        address: Of the cluster; None starts a Ray of this process's own.
        cpus: CPUs of the one that is started here.

    Raises:
        ConfigError: No cluster answers there, or it has other versions.
        WorkerLostError: None can be started here, or the cluster does not answer.
    """

    def __init__(self, address: str | None, cpus: int) -> None:
        self._sight: ClusterView | None = None
        self._silent = False
        join(address, cpus)
        if address:
            try:
                with told("the cluster cannot be looked at"):
                    self._sight = ClusterView()
            except BaseException:
                self.close(())
                raise

    @property
    def seen(self) -> ClusterState | None:
        """What was last seen of the cluster; None of a Ray of this process's own, which has one node."""
        return None if self._sight is None else self._sight.seen

    def fresh(self) -> ClusterState | None:
        """Return what is seen of the cluster now; None of a Ray of this process's own."""
        return None if self._sight is None else self._sight.fresh()

    def about(self, actors: int, cpus: int) -> str:
        """Say who is wanted, and what Ray has for them.

        Args:
            actors: Number of actors that are wanted.
            cpus: CPUs that each needs.

        Returns:
            Part of a sentence.
        """
        has = "a local one, whose processes run" if self._sight is None else self._sight.seen.said(cpus)
        return f"{actors:,} wanted, each needs {cpus} CPU{'s' * (cpus > 1)}; Ray: {has}"

    def worker_slots(self, cpus: int) -> int:
        """Return for how many actors the cluster has CPUs, taken or free; 0 of a Ray of this process's own.

        Args:
            cpus: CPUs that each needs.
        """
        return 0 if self._sight is None else int(self._sight.seen.cpus) // cpus

    def check(self) -> None:
        """Notice a head that is silent; to be called often.

        Raises:
            WorkerLostError: The cluster's head has not answered for long.
        """
        if self._sight is not None:
            self._sight.check()

    def ended(self) -> str | None:
        """Return how this process's own Ray has ended; None if it has not, or it is a cluster."""
        return ended() if self._sight is None else None

    def ask(self, call: Callable[[], T], what: str) -> T | None:
        """Make a call of Ray that may wait for the head.

        Args:
            call: The call.
            what: What it is for, as part of a sentence.

        Returns:
            What it gives; None if this process's own Ray has ended meanwhile.

        Raises:
            WorkerLostError: The head does not answer for HEAD_S.
        """
        answer: Future[T] = Future()

        def asked() -> None:
            try:
                answer.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised by who waits for it
                answer.set_exception(error)

        Thread(target=asked, name="textmill-ray", daemon=True).start()
        left = HEAD_S
        while True:
            try:
                return answer.result(_POLL_S)
            except TimeoutError:
                if answer.done():
                    raise
                left -= _POLL_S
            if self.ended() is not None:
                return None
            if left <= 0:
                self._silent = True
                silent = f"the head of the Ray cluster has not answered for {HEAD_S:.0f} s ({what})"
                raise WorkerLostError(f"{silent}; run the command again when it does")

    def ends(self, check: Callable[[], object]) -> bool:
        """Whether this process's own Ray ends just now; it is given a moment to be dead.

        Args:
            check: Called often meanwhile.
        """
        until = time.monotonic() + _GRACE_S
        while self._sight is None and self.ended() is None and time.monotonic() < until:
            check()
            time.sleep(_POLL_S)
        return self.ended() is not None

    def close(self, actors: Iterable[Any]) -> None:
        """End actors, and leave Ray, or end it.

        Args:
            actors: Handles of actors.
        """
        import ray

        if self._sight is not None:
            self._sight.close()
            if self._silent or self._sight.mute:
                # Ray would wait for its head until it ends the process. What is stuck then does not hold up the process's end.
                with suppress(CallTimeoutError):
                    call_with_timeout(_SHUT_S, ray.shutdown)
                return
        if self.ended() is None:
            for actor in actors:
                with suppress(ray.exceptions.RayError):
                    ray.kill(actor)
        ray.shutdown()
