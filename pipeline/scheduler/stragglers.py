"""The splits that will end last: for workers that have nothing else to do, and for the fastest where one holds up the whole."""

from __future__ import annotations

from bisect import insort

from pipeline.scheduler.speeds import ActiveLease, Worker

# A copy must be expected to end before the others in so small a part of the time that is left to them.
GAIN = 0.8
# Leases of one split at a time.
HOLDERS = 3
# A worker so many times slower than the fastest takes no copies, but of what it does in so many seconds: there are few, and a
# fast one is free soon.
SLOWER, SHORT_S = 1.5, 2.0


class Stragglers:
    """The splits that are being done, by when they are expected to end.

    They are looked through anew at every Tick that finds idle workers.

    Args:
        holders: Split -> its leases, as `SplitTable` keeps them.

    Attributes:
        holding_up: The splits that are late and would end after all others, in the order in which that was found.
    """

    def __init__(self, holders: dict[int, list[ActiveLease]]) -> None:
        self._holders = holders
        self._order: list[tuple[float, int]] = []
        self.holding_up: dict[int, None] = {}  # in order

    def holds_up(self, split: int) -> None:
        """Note that a split is late, and would end after all others.

        Args:
            split: Number of the split.
        """
        self.holding_up[split] = None

    def next_holding_up(self, worker: Worker, now: float) -> ActiveLease | None:
        """Find a split that holds up the whole and that a worker would end well before all who have it.

        Args:
            worker: The worker that could take a copy.
            now: Time, seconds.

        Returns:
            A lease of that split, or None.
        """
        while self.holding_up:
            split = next(iter(self.holding_up))
            leases = self._holders.get(split)
            if leases and any(lease.worker is worker for lease in leases):
                return None
            del self.holding_up[split]
            if leases and len(leases) < HOLDERS and any(lease.wanted for lease in leases) and worker.speed:
                if leases[0].tokens / worker.speed <= GAIN * (_end(leases, now) - now):
                    return leases[0]
        return None

    def renew(self, now: float) -> None:
        """Look through all leases.

        Args:
            now: Time, seconds.
        """
        self._order = sorted((_end(leases, now), split) for split, leases in self._holders.items())

    def worth_a_copy(self, worker: Worker, fastest: float, now: float) -> ActiveLease | None:
        """Find out whether a worker would end the split that ends last well before all who have it.

        Args:
            worker: The worker that could take a copy.
            fastest: Predicted tokens/s of the fastest worker.
            now: Time, seconds.

        Returns:
            A lease of that split, or None.
        """
        order = self._order
        while order and worker.speed:
            end, split = order[-1]
            leases = self._holders.get(split)
            if not leases or len(leases) >= HOLDERS or not any(lease.wanted for lease in leases):
                order.pop()
                continue
            true = _end(leases, now)
            if true < end - 0.05 * (end - now):
                order.pop()
                insort(order, (true, split))
                continue
            takes = leases[0].tokens / worker.speed
            if any(lease.worker is worker for lease in leases) or takes > GAIN * (true - now):
                return None
            if takes > SHORT_S and worker.speed * SLOWER < fastest:
                return None
            order.pop()
            return leases[0]
        return None


def _end(leases: list[ActiveLease], now: float) -> float:
    return min(lease.worker.finish_of(lease, now) for lease in leases)
