"""Who holds a claim, and whether that process is surely dead."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a claim; `space` names the machine's boot and process ids' namespace, `born` is the process's start in ticks."""

    id: str
    host: str
    process: int
    space: str
    born: int

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


def this_process() -> Owner:
    """The owner that this process is, each time with an id of its own."""
    process = os.getpid()
    return Owner(uuid4().hex[:12], os.uname().nodename, process, _space(), _born(process) or 0)


def _space() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
        return f"{boot.read().strip()} {os.readlink('/proc/self/ns/pid')}"


def _born(process: int) -> int | None:
    """When a process was started, in ticks since boot; None if there is none, or only its remains."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def is_dead(owner: dict[str, Any]) -> bool:
    """Whether the owner surely lives no more: only this machine's processes can be asked."""
    return owner.get("space") == _space() and _born(int(owner["process"])) != owner.get("born")
