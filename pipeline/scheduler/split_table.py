"""What has become of every split: it waits, is leased (perhaps to several), has ended, or was given up."""

from __future__ import annotations

from collections import Counter

from pipeline.scheduler.events import Arrived, Command, GiveUp, Revoke
from pipeline.scheduler.pending_queue import PendingQueue, rank
from pipeline.scheduler.speeds import ActiveLease

# Workers that may die over one split, and tries that may fail, before it is given up.
MAX_LOSSES = 2


class SplitTable:
    """Every split is at one place at a time; those that have ended stay ended, whatever is heard of them later."""

    def __init__(self) -> None:
        self.waiting = PendingQueue()
        self.leases: dict[int, ActiveLease] = {}
        self.holders: dict[int, list[ActiveLease]] = {}
        self.isolated: set[int] = set()
        self.given_up: set[int] = set()
        self.homes: dict[int, int] = {}
        self.near = 0  # leases whose data lies where their worker is
        self.arrived = self.finished = self.wasted_tokens = 0
        self._done = bytearray()
        self._waits_again: set[int] = set()
        self._losses: Counter[int] = Counter()

    def arrive(self, event: Arrived) -> None:
        """Take in new splits, which wait from now on.

        Args:
            event: The splits, with priority, homes and those that workers have died over before.
        """
        at = rank(event.priority, event.now)
        top = max((split for split, _ in event.splits), default=-1)
        self._done.extend(bytes(max(0, top + 1 - len(self._done))))
        self.waiting.extend(event.splits, at, event.homes)
        self.homes.update(event.homes)
        self.isolated |= event.isolated
        self.arrived += len(event.splits)

    def done(self, split: int) -> bool:
        """Whether a split is published.

        Args:
            split: Number of the split.
        """
        return bool(self._done[split])

    def begin(self, lease: ActiveLease) -> None:
        """Take in a lease that has been given.

        Args:
            lease: The lease.
        """
        split = lease.split
        if self._waits_again:
            self._waits_again.discard(split)
        self.leases[lease.number] = lease
        if self.homes and split in self.homes:
            self.near += self.homes[split] == lease.worker.home
        holders = self.holders.get(split)
        if holders is None:
            self.holders[split] = [lease]
        else:
            holders.append(lease)

    def let_go(self, lease: ActiveLease) -> None:
        """Forget a lease that is over, however it ended.

        Args:
            lease: One that was begun.
        """
        self.leases.pop(lease.number, None)
        holders = self.holders[lease.split]
        if len(holders) == 1:
            del self.holders[lease.split]
        else:
            holders.remove(lease)

    def finish(self, lease: ActiveLease, commands: list[Command]) -> None:
        """Take in that the split of a lease is published: nobody else needs to do it.

        Args:
            lease: The lease that did it.
            commands: Is added to: other leases of the split are called back.
        """
        split = lease.split
        if self._done[split]:
            self.wasted_tokens += lease.tokens
            return
        self._done[split] = 1
        self.finished += 1
        self.given_up.discard(split)
        if split in self.holders:
            self._call_all_back(split, commands)

    def wait_again(self, lease: ActiveLease) -> None:
        """Let the split of a lease that will not do it wait again, unless another lease does it or all is over with it.

        Args:
            lease: The lease.
        """
        split = lease.split
        if not (self._done[split] or split in self.given_up or split in self._waits_again or self._wanted(split)):
            self._waits_again.add(split)
            self.waiting.push_first(split, lease.tokens, lease.rank)

    def try_again(self, lease: ActiveLease, again: bool, commands: list[Command]) -> None:
        """Take in that a lease has failed, or that its worker has died over it.

        Args:
            lease: The lease.
            again: Whether another try may help.
            commands: Is added to where the split is given up.
        """
        split = lease.split
        if self._done[split] or split in self.given_up or not lease.wanted:
            return
        self._losses[split] += 1
        if again and self._losses[split] <= MAX_LOSSES:
            self.wait_again(lease)
        else:
            self.given_up.add(split)
            commands.append(GiveUp(split))
            self._call_all_back(split, commands)

    def call_back(self, lease: ActiveLease, commands: list[Command]) -> None:
        """Call a lease back.

        Args:
            lease: The lease.
            commands: Is added to.
        """
        lease.wanted = False
        commands.append(Revoke(lease.number, lease.worker.number))

    def _wanted(self, split: int) -> list[ActiveLease]:
        return [lease for lease in self.holders.get(split, ()) if lease.wanted]

    def _call_all_back(self, split: int, commands: list[Command]) -> None:
        for lease in self._wanted(split):
            self.call_back(lease, commands)
