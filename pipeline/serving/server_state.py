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
    """One server, by its actor handle. It gets batches while it is `ready`: it has answered that it is there."""

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
        """Whether it takes one more batch."""
        return self.ready and self.batches < (ON_THE_WAY if self.proven else 1)

    def ends_in(self, tokens: int, now: float) -> float:
        """Seconds until it would have computed so many tokens more; what waited there has gone down since it spoke."""
        waiting = max(0.0, self.queued - self.speed * (now - self.seen))
        return (waiting + self.mine + tokens) / self.speed

    def sent(self, tokens: int) -> None:
        """A batch is on the way."""
        self.mine += tokens
        self.batches += 1

    def landed(self, tokens: int) -> None:
        """A batch is not on the way any more, whatever became of it."""
        self.mine -= tokens
        self.batches -= 1

    def answered(self, queued: int, speed: float, now: float) -> None:
        """It has computed a batch; `speed` 0 is not known."""
        self.queued, self.seen, self.speed = max(0, queued - self.mine), now, speed or self.speed
        self.proven, self.away_s = True, FIRST_AWAY_S

    def set_aside(self, now: float) -> None:
        """It is at fault: it gets nothing until it has been asked again."""
        self.ready = self.proven = False
        self.question, self.queued = None, 0
        self.back_at, self.away_s = now + self.away_s, min(LONGEST_AWAY_S, 2 * self.away_s)
