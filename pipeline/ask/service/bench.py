"""Figures of the service on this machine: one asker, many, classes, the cache, memory; measured from a process of its own."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.ask.service.load import Askers, LoadResult, load
from pipeline.errors import WorkerLostError

START_S = 120.0
# Of 64 askers, so many in each class.
MIXED = (Askers(4, "high"), Askers(40, "normal"), Askers(20, "low"))


@contextmanager
def service(answers: Path, log: Path, *options: str) -> Iterator[tuple[int, int]]:
    """Run `textmill serve` in a process of its own.

    Args:
        answers: Folder of an index.
        log: File of what it says.
        *options: Of the command.

    Yields:
        Its port, and its process id.

    Raises:
        WorkerLostError: It does not begin.
    """
    command = [sys.executable, "-m", "jobs", "serve", str(answers), "--port", "0", *options]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        until = time.monotonic() + START_S
        while "answering at" not in (said := log.read_text(encoding="utf-8")):
            if process.poll() is not None or time.monotonic() > until:
                raise WorkerLostError(f"the service does not begin:\n{said[-2000:]}")
            time.sleep(0.1)
        yield int(said.partition("answering at")[2].partition('/"')[0].rpartition(":")[2]), process.pid
    finally:
        process.terminate()
        process.wait()


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process, in megabytes.

    Args:
        pid: Of the process.
    """
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def measure(answers: Path, questions: Sequence[str], seconds: float, work: Path, say: Callable[[str], object]) -> dict[str, Any]:
    """Measure the service.

    Args:
        answers: Folder of an index.
        questions: What is asked, each different; without the cache they are asked again and again.
        seconds: Seconds of each load.
        work: Folder of its log.
        say: Hears what is measured.

    Returns:
        Figures: `one`, `sixteen`, `mixed` (by class), `cached`, `resident_mb`.

    Raises:
        WorkerLostError: The service does not begin, or ended a connection.
    """
    found: dict[str, Any] = {}

    def run(name: str, port: int, askers: Sequence[Askers], asked: Sequence[str], within: float = seconds, most: int = 0) -> None:
        say(f"{name}: {sum(kind.count for kind in askers)} askers")
        began = time.monotonic()
        results: dict[str, LoadResult] = asyncio.run(load(port, itertools.cycle(asked), askers, within, most))
        took = time.monotonic() - began
        figures = {kind: result.to_json(took) for kind, result in results.items()}
        found[name] = figures if len(figures) > 1 else next(iter(figures.values()))

    with service(answers, work / "serve.log", "--cache-mb", "0") as (port, pid):
        run("warm up", port, [Askers(4)], questions[:200], 30.0, 200)
        run("one", port, [Askers(1)], questions)
        run("sixteen", port, [Askers(16)], questions)
        run("mixed", port, MIXED, questions)
        found["resident_mb"] = round(resident_mb(pid), 1)
    del found["warm up"]
    with service(answers, work / "serve.log") as (port, _):
        few = list(questions[:100])
        run("cached", port, [Askers(4)], few, 60.0, len(few))
        run("cached, one asker", port, [Askers(1)], few, seconds / 3)
        run("cached", port, [Askers(8)], few, seconds / 3)
    return found
