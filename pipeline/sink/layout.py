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
    """Return where the parts of a generation are; a new generation is filled beside the current one.

    Args:
        kind: `tags`, `dead_letters` or `filtered`.
        generation: Number of the generation that is asked for.
        current: Number of the generation whose parts are in place.
    """
    return kind if generation <= current else f"{NEXT}/{kind}"


def part_path(name: str, kind: str = TAGS, folder: str = "") -> str:
    """Return the path of a part's tags, or of the documents left out of it.

    Args:
        name: Name of the part, as `Split.name` has it.
        kind: `tags`, `dead_letters` or `filtered`.
        folder: Where parts of this generation go, with a "/" at its end; "" for those that are in place.
    """
    return f"{folder}{kind}/{name}.parquet"


def plan_name(number: int) -> str:
    """Return the name of a plan.

    Args:
        number: The plan's number.
    """
    return f"plan-{number:06d}"


def plan_path(number: int) -> str:
    """Return the path of a plan.

    Args:
        number: The plan's number.
    """
    return f"{PLANS}/{plan_name(number)}.parquet"


def finished_path(number: int) -> str:
    """Return the path of the record that says that all parts of a plan are there.

    Args:
        number: The plan's number.
    """
    return f"{PLANS}/{plan_name(number)}.done.json"


def lost_path(number: int) -> str:
    """Return the path of the list of a plan's files that could not be read; it exists only if there are any.

    Args:
        number: The plan's number.
    """
    return f"{PLANS}/{plan_name(number)}.lost.json"


def manifest_path(run: str) -> str:
    """Return the path of a run's manifest.

    Args:
        run: Name of the run.
    """
    return f"{RUNS}/{run}.json"


def metrics_path(run: str) -> str:
    """Return the path of a run's metrics, which say what limited it.

    Args:
        run: Name of the run.
    """
    return f"{RUNS}/{run}{METRICS}"
