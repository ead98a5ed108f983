"""What a worker knows of one engine server: whether it may be sent a batch, and when it would have computed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Tokens/s of a server that has told none yet.
FIRST_SPEED = 100_000.0
# A worker has at most so many batches on the way to a server, and one to a server that has answered none since its last fault.
ON_THE_WAY = 8
# A server at fault is set aside for so long; twice as long after each fault without an answer between, up to the second figure.
FIRST_AWAY_S, LONGEST_AWAY_S = 5.0, 60.0


@dataclass(slots=True, eq=False)
class ServerState:
    """What a worker knows of one engine server.

    Attributes:
        handle: The server's actor handle.
        ready: Whether it has answered that it is there; only then it gets batches.
        proven: Whether it has answered a batch since it was last set aside.
        question: Call that asks whether it is there; None if none is on the way.
        back_at: Time before which it is not asked, seconds of the caller's clock.
        away_s: Seconds for which the next fault sets it aside.
        speed: Tokens/s that it computes.
        queued: Tokens of other workers that waited there when it last replied.
        mine: Tokens that this worker has on the way to it.
        batches: Batches that this worker has on the way to it.
        seen: Time of its last reply, seconds of the caller's clock.
    """

    handle: Any
    ready: bool = False
    proven: bool = False  # whether it has answered a batch since it was set aside last
    question: Any = None  # whether it is there, on the way
    back_at: float = 0.0  # not to be asked before
    away_s: float = FIRST_AWAY_S
    speed: float = FIRST_SPEED
    queued: int = 0  # tokens of others that wait there, as of its last reply
    mine: int = 0  # tokens that are on the way
    batches: int = 0
    seen: float = 0.0

    @property
    def open(self) -> bool:
        """Whether it takes one more batch: up to ON_THE_WAY at once if it is proven, else one."""
        return self.ready and self.batches < (ON_THE_WAY if self.proven else 1)

    def ends_in(self, tokens: int, now: float) -> float:
        """Estimate when the server would have computed another batch.

        What waited there is assumed to have gone down, at the server's speed, since its last reply.

        Args:
            tokens: Tokens of the batch.
            now: Seconds of the caller's clock.

        Returns:
            Seconds from now.
        """
        waiting = max(0.0, self.queued - self.speed * (now - self.seen))
        return (waiting + self.mine + tokens) / self.speed

    def sent(self, tokens: int) -> None:
        """Note that a batch is on the way.

        Args:
            tokens: Tokens of the batch.
        """
        self.mine += tokens
        self.batches += 1

    def landed(self, tokens: int) -> None:
        """Note that a batch is no longer on the way, whatever became of it.

        Args:
            tokens: Tokens of the batch.
        """
        self.mine -= tokens
        self.batches -= 1

    def answered(self, queued: int, speed: float, now: float) -> None:
        """Note the reply to a batch, after `landed`.

        Args:
            queued: Tokens that wait at the server, those of this worker included.
            speed: Tokens/s that it computes; 0 if it does not know yet.
            now: Seconds of the caller's clock.
        """
        self.queued, self.seen, self.speed = max(0, queued - self.mine), now, speed or self.speed
        self.proven, self.away_s = True, FIRST_AWAY_S

    def set_aside(self, now: float) -> None:
        """Note a fault: the server gets nothing until it has answered a question again, which is not asked before `back_at`.

        The time until then doubles with each fault that follows without an answer between, up to LONGEST_AWAY_S.

        Args:
            now: Seconds of the caller's clock.
        """
        self.ready = self.proven = False
        self.question, self.queued = None, 0
        self.back_at, self.away_s = now + self.away_s, min(LONGEST_AWAY_S, 2 * self.away_s)
