"""What the head of a Ray cluster says of its nodes, asked in a thread: nobody waits for a head that does not answer."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from pipeline.errors import WorkerLostError
from pipeline.fleet.ray_connection import HEAD_S

LOOK_S = 2.0
# A fresh look is waited for so long; the last one must do then.
FRESH_S = 5.0
# Time counts as a head's silence only as far as somebody was there to hear it: not the hours that this process was suspended.
_STEP_S = 1.0


@dataclass(frozen=True, slots=True)
class ClusterState:
    """What a head says of its cluster.

    Attributes:
        nodes: Ids of the nodes that are alive.
        draining: Those of them that are to be taken away.
        cpus: CPUs of all nodes.
        largest: CPUs of the largest node.
        free: CPUs that are free.
    """

    nodes: frozenset[str] = frozenset()
    draining: frozenset[str] = frozenset()
    cpus: float = 0.0
    largest: float = 0.0
    free: float = 0.0

    def said(self, needed: int) -> str:
        """Say it in words to somebody who needs CPUs of one node.

        Args:
            needed: So many CPUs.

        Returns:
            Part of a sentence.
        """
        if not self.nodes:
            return "no node is alive"
        nodes = f"{len(self.nodes)} node{'s' * (len(self.nodes) > 1)} alive"
        if self.largest < needed:
            return f"{nodes}, none with {needed} CPU{'s' * (needed > 1)}"
        return f"{nodes} with {self.free:g} of {self.cpus:g} CPUs free"


def look() -> ClusterState:
    """Ask the head; does not return while it is silent, and raises what Ray raises.

    Returns:
        What it says.
    """
    import ray
    from ray._private.state import state  # Ray has no public call for it; pinned by a test

    alive = [one for one in ray.nodes() if one["Alive"]]
    cpus = [float(one["Resources"].get("CPU", 0)) for one in alive]
    return ClusterState(
        frozenset(one["NodeID"] for one in alive),
        frozenset(state.get_draining_nodes()),
        sum(cpus),
        max(cpus, default=0.0),
        float(ray.available_resources().get("CPU", 0)),
    )


class ClusterView:
    """Looks at a cluster every LOOK_S, and when it is asked to.

    Attributes:
        seen: What was seen last.
    """

    def __init__(self) -> None:
        self.seen = look()
        self._looks = 0
        self._wanted, self._closed = threading.Event(), False
        self._changed = threading.Condition()
        self._silent_s, self._checked, self._heard = 0.0, time.monotonic(), 0
        self._thread = threading.Thread(target=self._look_on, name="sight", daemon=True)
        self._thread.start()

    def fresh(self) -> ClusterState:
        """Look now, and wait FRESH_S for the answer.

        Returns:
            What is seen from now on, or what was seen last if the head does not answer so soon.
        """
        with self._changed:
            # One look may have begun before this moment; the one after it has not.
            enough = self._looks + 2
            self._wanted.set()
            self._changed.wait_for(lambda: self._looks >= enough or self._again(), FRESH_S)
        return self.seen

    def _again(self) -> bool:
        self._wanted.set()
        return False

    def check(self) -> None:
        """Notice a head that is silent; to be called often.

        Raises:
            WorkerLostError: The head has not answered for HEAD_S.
        """
        now = time.monotonic()
        self._silent_s += min(now - self._checked, _STEP_S)
        self._checked = now
        if self._looks != self._heard:
            self._heard, self._silent_s = self._looks, 0.0
        if self._silent_s > HEAD_S:
            silent = f"the head of the Ray cluster has not answered for {self._silent_s:.0f} s"
            raise WorkerLostError(f"{silent}; run the command again when it does")

    @property
    def mute(self) -> bool:
        """Whether the head is late with its answer: what else it is told may not return."""
        return self._silent_s > min(2 * LOOK_S, HEAD_S)

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        self._wanted.set()
        self._thread.join(LOOK_S)

    def _look_on(self) -> None:
        while not self._closed:
            # No answer, of whatever kind: `check` counts how long there is none.
            with suppress(Exception):
                seen = look()
                with self._changed:
                    self.seen, self._looks = seen, self._looks + 1
                    self._changed.notify_all()
            self._wanted.wait(LOOK_S)
            self._wanted.clear()
