"""What a seed draws: where it runs, and which faults come when. The same seed draws the same schedule."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline import faults
from tests.faults.chaos.corpus import CORPORA

# Slows a run down, so that there is a middle of it.
PACE = "block.read:*=delay"
_COMMIT = ("part.write.before", "part.group.after", "part.close.after", "part.verify.after", "part.rename.after")
_WORKER = (*_COMMIT, "side.rename.after", "clean.after")
_DRIVER = tuple(one for one in faults.POINTS if one.startswith(("plan.", "done.", "metrics.", "manifest.")))
_SIGNALS = ("KILL", "STOP", "TERM")
_FILES = ("posts.jsonl", "news.csv", "tables/facts.parquet", "packed/posts.jsonl.gz")


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` and `what`: point (as in TEXTMILL_FAULT), cut (as point; what is staged is cut short), signal ("KILL worker"),
    partition (a node's number), disk (is full), file ("replace PATH", "remove PATH"), clock (seconds aside), second (another
    driver while the first is paused, which goes on "early", while the other works, or "late").

    It comes in attempt `attempt`, those outside the process when `after` parts are there; what is stopped or cut off comes back
    after `seconds`.
    """

    kind: str
    what: str = ""
    attempt: int = 0
    after: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """What it is counted as."""
        if self.kind == "point":
            return f"point {self.what.partition('=')[2]}"
        if self.kind == "signal":
            return f"SIG{self.what}"
        return {"file": f"file {self.what.partition(' ')[0]}d", "second": "second driver", "disk": "disk full"}.get(
            self.kind, self.kind
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """`crew`: cluster (a Ray of several nodes), workers (a Ray of its own), process. `place`: local, hdfs (both ends),
    hdfs-out, disk (the output on a small one)."""

    seed: int
    corpus: int
    crew: str
    place: str
    servers: bool
    faults: tuple[Fault, ...]

    def without(self, number: int) -> Schedule:
        """The same with one fault less."""
        return replace(self, faults=self.faults[:number] + self.faults[number + 1 :])

    def __str__(self) -> str:
        head = f"seed {self.seed}: corpus {self.corpus}, {self.crew}{' with a server' if self.servers else ''}, {self.place}"
        return "\n".join([head, *(f"  {one}" for one in self.faults)])


def draw(seed: int, has_hdfs: bool, has_disk: bool, has_nets: bool, cheap: bool = False) -> Schedule:
    """The schedule of a seed. `cheap`: nothing that takes long to start."""
    rng = random.Random(seed)
    crew = rng.choices(("cluster", "workers", "process"), (0, 1, 3) if cheap else (11, 5, 4))[0]
    place = rng.choices(("local", "hdfs", "hdfs-out", "disk"), (14, 4, 2, 2))[0]
    if (place == "disk" and not has_disk) or (place.startswith("hdfs") and (cheap or not has_hdfs)):
        place = "local"
    if place.startswith("hdfs") and crew == "cluster":
        crew = "workers"  # the HDFS is on loopback, which nodes in namespaces do not reach
    servers = crew != "process" and rng.random() < 0.15
    count = rng.choices((1, 2, 3, 4), (5, 8, 5, 2))[0]
    chosen = [_fault(rng, crew, place, servers, has_nets) for _ in range(count)]
    chosen[0] = replace(chosen[0], attempt=0)  # else nothing might ever happen
    if place == "disk" and not any(one.kind == "disk" for one in chosen):
        chosen.append(Fault("disk", after=rng.randrange(8)))
    unique = {(one.kind if one.kind in ("file", "second", "disk", "clock") else one.what): one for one in chosen}
    return Schedule(seed, rng.randrange(CORPORA), crew, place, servers, tuple(unique.values()))


def _fault(rng: random.Random, crew: str, place: str, servers: bool, has_nets: bool) -> Fault:
    attempt = rng.choices((0, 1, 2), (14, 4, 2))[0]
    after = rng.choice((0, 1, 1, 2, 3, 5, 8, 12))
    seconds = round(rng.choice((rng.uniform(0.2, 1.0), rng.uniform(1.0, 4.0), rng.uniform(4.0, 8.0))), 1)
    kinds = {"point": 10, "signal": 10, "second": 2, "clock": 1}
    if place == "local":
        kinds |= {"file": 2, "cut": 2}
    if crew == "cluster" and has_nets:
        kinds["partition"] = 3
    kind = rng.choices(list(kinds), list(kinds.values()))[0]
    if kind == "point":
        return Fault(kind, _point(rng), attempt, seconds=seconds)
    if kind == "cut":
        return Fault(kind, f"part.close.after:{rng.randint(1, 4)}=stop", attempt, seconds=0.3)
    if kind == "signal":
        return Fault(kind, f"{rng.choice(_SIGNALS)} {rng.choice(_targets(crew, place, servers))}", attempt, after, seconds)
    if kind == "partition":
        return Fault(kind, str(rng.randrange(2)), attempt, after, seconds)
    if kind == "file":
        return Fault(kind, f"{rng.choice(('replace', 'remove'))} {rng.choice(_FILES)}", 0, rng.choice((0, 0, 1, 2, 4)))
    if kind == "clock":
        return Fault(kind, rng.choice(("-600", "600", "-90", "90")), attempt)
    return Fault(kind, rng.choice(("early", "late")), attempt, rng.choice((1, 2, 4)))


def _point(rng: random.Random) -> str:
    action = rng.choices(("kill", "stop", "term", "eio", "estale", "enospc", "drop"), (10, 7, 1, 4, 2, 3, 3))[0]
    if action == "drop":
        return f"block.read:{rng.randint(1, 6)}=drop"
    if action in ("eio", "estale"):
        return rng.choice((f"source.read:{rng.randint(1, 90)}={action}", f"tables.batch:{rng.randint(1, 3)}={action}"))
    if action == "enospc":
        return rng.choice(("part.write.before", "part.group.after")) + f":{rng.randint(1, 4)}={action}"
    if rng.random() < 0.3:
        return f"{rng.choice(_DRIVER)}:1={action}"
    names = (*_WORKER, "source.read", "tables.batch", "block.read")
    return f"{rng.choice(names)}:{rng.randint(1, 4)}={action}"


def _targets(crew: str, place: str, servers: bool) -> Sequence[str]:
    found = ["driver", "driver", "redis", "reader"]
    if crew != "process":
        found += ["worker", "worker", "worker", "raylet", "agent", "environment", "gcs"]
    if servers:
        found += ["server", "server"]
    if place.startswith("hdfs"):
        found += ["namenode", "datanode"]
    return found
