"""The processes of a world: all whose environment bears its mark, told apart by what they run."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "TEXTMILL_CHAOS"
_KINDS = {
    "worker": r"ray::WorkerActor",
    "server": r"ray::EngineServer",
    "reader": r"-m pipeline\.source\.tables",
    "isolated": r"-m pipeline\.worker\.isolated",
    "driver": r"-m jobs ",
    "gcs": r"/gcs_server ",
    "raylet": r"/raylet/raylet ",
    "agent": r"ray::DashboardAgent|dashboard/agent\.py",
    "environment": r"ray::RuntimeEnvAgent|runtime_env/agent",
    "redis": r"redis-server ",
    "namenode": r"server\.namenode\.NameNode",
    "datanode": r"server\.datanode\.DataNode",
    "ray": r"ray",
}


@dataclass(frozen=True, slots=True)
class Process:
    """A living process; `space` names its network namespace."""

    pid: int
    parent: int
    kind: str
    command: str
    space: str


def living(mark: str) -> list[Process]:
    """The processes that bear a mark, without this one."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with suppress(OSError, ValueError, IndexError):
            if wanted not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            state, parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state in "ZX":
                continue
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip() + " "
            kind = next((kind for kind, pattern in _KINDS.items() if re.search(pattern, command)), "other")
            found.append(Process(int(folder.name), int(parent), kind, command, os.readlink(folder / "ns/net")))
    return sorted(found, key=lambda one: one.pid)


def send(pid: int, number: signal.Signals) -> bool:
    """Whether there was such a process to send a signal to."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def end(mark: str, kinds: set[str] | None = None, seconds: float = 20.0) -> None:
    """Kill what bears a mark, of some kinds or of all, and wait until it is gone."""
    until = time.monotonic() + seconds
    while left := [one for one in living(mark) if kinds is None or one.kind in kinds]:
        assert time.monotonic() < until, left
        for one in left:
            send(one.pid, signal.SIGKILL)
        time.sleep(0.05)


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had; 0 if it is gone."""
    with suppress(OSError, ValueError, IndexError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) * 1024 if found else 0
    return 0
