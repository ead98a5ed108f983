"""Who holds a claim, and whether that process is surely dead."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a claim.

    Attributes:
        id: Random, 12 hexadecimal digits, so that two owners in one process differ.
        host: Name of the machine.
        process: Process id.
        space: Boot of the machine and namespace of process ids in which `process` counts.
        born: Start of the process, clock ticks since boot; 0 if it is not known.
    """

    id: str
    host: str
    process: int
    space: str
    born: int

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


def this_process() -> Owner:
    """Describe this process as an owner.

    Returns:
        The owner; each call gives it an `id` of its own.
    """
    process = os.getpid()
    return Owner(uuid4().hex[:12], os.uname().nodename, process, _space(), _born(process) or 0)


def is_dead(owner: dict[str, Any]) -> bool:
    """Whether the owner's process is surely dead.

    Only processes of this machine, boot and namespace can be looked up: for all others the answer is False. A process id that
    has been reused since is recognised by the start time.

    Args:
        owner: Fields of an Owner by name, as read from a claim's file.
    """
    process = owner.get("process")
    if owner.get("space") != _space() or not isinstance(process, int):
        return False
    born = _born(process)
    if born is None:
        return not _hidden(process)
    return born != owner.get("born")


def is_this_process(owner: dict[str, Any]) -> bool:
    """Whether the owner is, or was, in this very process.

    Args:
        owner: Fields of an Owner by name, as read from a claim's file.
    """
    return owner.get("process") == os.getpid() and owner.get("space") == _space() and not is_dead(owner)


def _space() -> str:
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
        return f"{boot.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    return _nowhere()


@cache
def _nowhere() -> str:
    """Where the system does not tell: the same for nobody else, so that only time decides about a claim."""
    return uuid4().hex


def _born(process: int) -> int | None:
    """When a process was started, in ticks since boot; None if there is none to be seen, or only its remains."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def _hidden(process: int) -> bool:
    """Whether the process is another user's, which /proc may hide."""
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False
