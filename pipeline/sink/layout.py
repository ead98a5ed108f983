"""Where things are in an output: every path of it is made here.

| folder | what |
|---|---|
| tags, dead_letters, filtered | parts, and what was left out of them |
| _plans | which input goes into which part, and which plans are finished |
| _runs | manifests and metrics of runs |
| _staging | what is being written |
| _next | a new generation, or parts of files that are tagged again, until they are whole |
| _claim | who may write here now |
| _pipes | what came through pipes |
| reports, nights, _nightly | reports, what was published of which day, and the records of nights |
| _watch | what a watcher knows of its batches |
"""

from __future__ import annotations

TAGS, DEAD_LETTERS, FILTERED = "tags", "dead_letters", "filtered"
OUTCOMES = {"dead_letter": DEAD_LETTERS, "filtered": FILTERED}
PLANS, RUNS, STAGING, NEXT, CLAIM, STATE, PIPES = "_plans", "_runs", "_staging", "_next", "_claim", "_state.json", "_pipes"
METRICS = ".metrics.json"
NIGHTS, NIGHTLY = "nights", "_nightly"
# What `textmill nightly` has counted of plans: `DAYS/ZONE/plan-N.json`.
DAYS = f"{NIGHTLY}/days"
NIGHT_RUNS = f"{NIGHTLY}/runs"
NIGHTLY_STAGING = f"{NIGHTLY}/_staging"
WATCH = "_watch"
WATCH_STAGING = f"{WATCH}/_staging"


def folder_of(kind: str, generation: int, current: int) -> str:
    """Where parts of a generation are: a new one is filled beside the current one."""
    return kind if generation <= current else f"{NEXT}/{kind}"


def part_path(name: str, kind: str = TAGS, folder: str = "") -> str:
    """A part's tags, or what was left out of it. `folder`: "" or that of a generation with a "/" behind it."""
    return f"{folder}{kind}/{name}.parquet"


def plan_name(number: int) -> str:
    """The name of a plan."""
    return f"plan-{number:06d}"


def plan_path(number: int) -> str:
    """A plan."""
    return f"{PLANS}/{plan_name(number)}.parquet"


def finished_path(number: int) -> str:
    """The record of a plan all of whose parts are there."""
    return f"{PLANS}/{plan_name(number)}.done.json"


def lost_path(number: int) -> str:
    """Which files of a plan could not be read, if there are such."""
    return f"{PLANS}/{plan_name(number)}.lost.json"


def manifest_path(run: str) -> str:
    """The manifest of a run."""
    return f"{RUNS}/{run}.json"


def metrics_path(run: str) -> str:
    """What limited a run."""
    return f"{RUNS}/{run}{METRICS}"
