"""A load for the service: askers that each ask, wait for the answer, and ask again; and what came of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import WorkerLostError


@dataclass(slots=True)
class LoadResult:
    """What came of the questions of one kind.

    Attributes:
        seconds: Of each answer, from the question to its last byte.
        refused: Questions that got 429.
        errors: Of every other status, how many there were.
        origins: Of the answers, where they came from.
        longest_gap_s: The longest time that one asker was without an answer, from its first question on.
    """

    seconds: list[float] = field(default_factory=list)
    refused: int = 0
    errors: Counter[int] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    longest_gap_s: float = 0.0

    def to_json(self, within_s: float) -> dict[str, Any]:
        """Return the figures.

        Args:
            within_s: Seconds that the load ran.
        """
        found = sorted(self.seconds)
        rank = {"p50_ms": 0.5, "p99_ms": 0.99}
        at = {name: round(1000 * found[min(len(found) - 1, int(share * len(found)))], 2) for name, share in rank.items() if found}
        return {
            "answered": len(found), "per_s": round(len(found) / within_s, 1), **at, "refused": self.refused,
            "errors": dict(self.errors), "from": dict(self.origins), "longest_gap_s": round(self.longest_gap_s, 2),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Askers:
    """Askers of one kind.

    Attributes:
        count: How many.
        priority: Class of their questions.
    """

    count: int
    priority: str = "normal"


async def load(
    port: int, questions: Iterator[str], askers: Sequence[Askers], seconds: float, most: int = 0
) -> dict[str, LoadResult]:
    """Ask a service for a while.

    Args:
        port: Of the service, on this machine.
        questions: What is asked; it must not end.
        askers: Who asks.
        seconds: How long.
        most: Questions at most; 0 is no limit.

    Returns:
        By class what came of it.

    Raises:
        WorkerLostError: The service ended a connection.
    """
    results = {kind.priority: LoadResult() for kind in askers}
    until = time.monotonic() + seconds
    left = [most or -1]

    async def asker(priority: str) -> None:
        mine = results[priority]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        last = time.monotonic()
        try:
            while time.monotonic() < until and left[0]:
                left[0] -= 1
                body = json.dumps({"question": next(questions), "priority": priority}).encode()
                began = time.monotonic()
                status, headers = await _request(reader, writer, body)
                now = time.monotonic()
                mine.longest_gap_s = max(mine.longest_gap_s, now - last)
                if status == 200:
                    mine.seconds.append(now - began)
                    mine.origins[headers.get("x-answer-from", "")] += 1
                    last = now
                elif status == 429:
                    mine.refused += 1
                    await asyncio.sleep(min(float(headers.get("retry-after", 1)), max(0.0, until - now)))
                else:
                    mine.errors[status] += 1
        finally:
            writer.close()

    await asyncio.gather(*(asker(kind.priority) for kind in askers for _ in range(kind.count)))
    return results


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> tuple[int, dict[str, str]]:
    head = f"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    try:
        said = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in said[1:] if line)
        await reader.readexactly(int(headers["content-length"]))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise WorkerLostError("the service ended a connection; its log says why") from error
    return int(said[0].split(" ")[1]), headers
