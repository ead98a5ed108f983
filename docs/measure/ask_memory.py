"""Resident memory of the service over many questions, all of them read, as no answer is kept.

Run: python docs/measure/ask_memory.py WORK [QUESTIONS]   (needs textmill[ask,serve])
WORK is a folder for 3,000 short documents, their index and the log; what is there is used. 100,000 questions of 16 askers by
default, of 3 to 40 words each. After every tenth of them a line with the resident memory and its growth since the first tenth.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from jobs.bench_ask import ANSWERS, DOCUMENTS, indexed
from models.runtime.cpu import cpu_name
from pipeline.ask.service.bench import resident_mb, service
from pipeline.ask.service.load import Askers, load

ASKERS, STEPS = 16, 10
FIRMS = [
    f"{first} {last}"
    for first in ("Volta", "Halden", "Okafor", "Lindqvist", "Morrow")
    for last in ("Energy", "Motors", "Foods", "Air")
]
PLACES = ["Oslo", "Bergen", "Turin", "Lagos", "Leeds", "Osaka", "Quito", "Perth", "Lyon", "Cork"]
MONTHS = ["January", "March", "May", "July", "October", "December"]
MORE = "please say exactly when and where and with whom and why it was said to have been so according to the report".split()


def documents(path: Path) -> None:
    """Write short documents."""
    rng = random.Random(0)
    lines = []
    for i in range(3000):
        firm, place, month = rng.choice(FIRMS), rng.choice(PLACES), rng.choice(MONTHS)
        text = rng.choice(
            [
                f"{firm} opened an office in {place} in {month}.",
                f"{firm} cut {rng.randrange(20, 900)} jobs in {place}, the company said in {month}. Unions protested.",
                f"In {month} {firm} bought {rng.choice(FIRMS)} for {rng.randrange(2, 90)} million euros after talks in {place}.",
            ]
        )
        lines.append(json.dumps({"id": f"m{i}", "text": text}))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def questions() -> Iterator[str]:
    """Ask without end."""
    rng = random.Random(1)
    while True:
        asked = rng.choice(
            ["Where does {} have an office", "How many jobs did {} cut in {}", "Who bought {}", "What did {} pay in {}"]
        )
        more = " ".join(rng.choices(MORE, k=rng.choice([0, 0, 0, 2, 5, 12, 30])))
        yield f"{asked.format(rng.choice(FIRMS), rng.choice(PLACES))} {more}?"


def main() -> None:
    """Measure."""
    work, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    if not (work / DOCUMENTS).exists():
        documents(work / DOCUMENTS)
    answers = indexed(work, print) if not (work / ANSWERS).exists() else work / ANSWERS
    print(cpu_name())
    first = 0.0
    with service(answers, work / "serve.log", "--cache-mb", "0") as (port, pid):
        print(f"ready: {resident_mb(pid):.1f} MB")
        for step in range(1, STEPS + 1):
            began = time.monotonic()
            result = asyncio.run(load(port, questions(), [Askers(ASKERS)], 86_400.0, count // STEPS))["normal"]
            took, now = time.monotonic() - began, resident_mb(pid)
            first = first or now
            print(f"{step * (count // STEPS):,} questions: {now:.1f} MB ({100 * (now / first - 1):+.2f} %)", end=", ")
            print(f"{len(result.seconds) / took:.0f}/s, {result.refused} refused, errors {dict(result.errors)}", end=", ")
            print(f"from {dict(result.origins)}", flush=True)


if __name__ == "__main__":
    main()
