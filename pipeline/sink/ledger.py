"""The output as the ledger: which parts are there, what a killed run left behind, and the change of generations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract import Split
from pipeline.errors import OutputError
from pipeline.sink.attempt import publish, read_footer
from pipeline.sink.files import DEAD_LETTERS, FILTERED, NEXT, OUTCOMES, STAGING, TAGS, drop
from pipeline.sink.plan_log import PLANS, Plan
from pipeline.store.base import Store


def check_output(store: Store) -> None:
    """Raise OutputError if the folder holds tags that no plan made."""
    if next(iter(store.list(PLANS)), None) is None and next(iter(store.list(TAGS)), None) is not None:
        raise OutputError(f"{store.url} holds {TAGS}/ but no {PLANS}/: it is no output of textmill tag; name another folder")


def current_generation(plans: Sequence[Plan], done: set[int]) -> int:
    """The newest generation of which a plan is finished; a new one is filled beside it until then."""
    first = min((plan.generation for plan in plans), default=1)
    return max((plan.generation for plan in plans if plan.number in done), default=first)


def parts(store: Store) -> dict[str, str]:
    """Path of every part that is there, by its name; those of a generation that is being made included."""
    found = {}
    for folder in (f"{NEXT}/{TAGS}", TAGS):
        for entry in store.list(folder):
            found[entry.path.rsplit("/", 1)[-1].removesuffix(".parquet")] = entry.path
    return found


def recover(store: Store, there: dict[str, str]) -> None:
    """Publish what attempts that were killed had staged beside a part that is there, and remove what nobody needs.

    What belongs to a part that is not there is left: a worker that has outlived its driver may still publish it.
    """
    for entry in list(store.list(STAGING)):
        _, attempt, file = entry.path.split("/")
        name, _, kind = file.removesuffix(".parquet").partition(".")
        if not name.startswith("part-"):
            drop(store, f"{STAGING}/{attempt}")
        elif name in there:
            if kind in OUTCOMES.values() and read_footer(store, there[name])["attempt"] == attempt:
                publish(store, entry.path, there[name].replace(TAGS, kind, 1), attempt)
            store.delete(entry.path)


def died_over(store: Store) -> set[str]:
    """Names of the parts that an attempt has begun and neither finished nor given up."""
    return {entry.path.rsplit("/", 1)[-1].partition(".")[0] for entry in store.list(STAGING) if "/part-" in entry.path}


def forget(store: Store, run: str) -> None:
    """Remove what the attempts of a run have staged; only when none of its workers is alive."""
    for attempt in {entry.path.split("/")[1] for entry in store.list(STAGING)}:
        if attempt.startswith(f"{run}-"):
            drop(store, f"{STAGING}/{attempt}")


def clean(store: Store) -> None:
    """Remove all staged files; only when every planned part is there."""
    drop(store, STAGING)


def settle(store: Store) -> None:
    """Finish or take back a change of generations that was killed in the middle of one of its steps."""
    for kind in (TAGS, DEAD_LETTERS, FILTERED):
        store.settle(f"{NEXT}/{kind}", kind)


def switch(store: Store, plan: Plan) -> None:
    """Let the parts of a new generation take the place of the old ones; each folder in one step, `tags` first."""
    mark = f"part-{plan.number:06d}-"
    for kind in (TAGS, DEAD_LETTERS, FILTERED):
        new = [entry.path for entry in store.list(f"{NEXT}/{kind}")]
        old = next(iter(store.list(kind)), None)
        if any(path.rsplit("/", 1)[-1].startswith(mark) for path in new):
            if old is None:
                for path in new:
                    store.rename_no_overwrite(path, path.removeprefix(f"{NEXT}/"))
            else:
                store.exchange(f"{NEXT}/{kind}", kind)
        elif old is not None and not old.path.rsplit("/", 1)[-1].startswith(mark):
            store.delete(kind)  # the old generation left something out, the new one nothing


def named(plans: Iterable[Plan]) -> dict[str, tuple[int, int]]:
    """Size and time of modification of every file that the plans name, by its whole path."""
    return {
        f"{plan.root}/{piece.path}": (piece.size, piece.modified_ns)
        for plan in plans
        for split in plan.splits
        for piece in split.fragments
    }


def batches_of(store: Store, kind: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of all parts of a kind, some of their columns."""
    for entry in store.list(kind):
        with store.open_read(entry.path) as stream:
            yield from pq.ParquetFile(stream).iter_batches(columns=columns)


def missing(plans: Iterable[Plan], there: dict[str, str]) -> list[Split]:
    """Splits that have no part yet."""
    return [split for plan in plans for split in plan.splits if split.name not in there]


def counts_of(store: Store, plan: Plan, there: dict[str, str]) -> dict[str, Any]:
    """What the record of a finished plan says: sums over its parts, and each of them, from their footers."""
    sums: Counter[str] = Counter(rows=0, dead_letters=0, filtered=0, tokens=0)
    noticed: Counter[str] = Counter()
    listed = []
    for split in plan.splits:
        footer = read_footer(store, there[split.name])
        sums.update({key: footer[key] for key in sums})
        listed.append({"name": split.name, **{key: footer[key] for key in ("run", "attempt", *sums)}})
        noticed.update(footer["counts"])
    files = {piece.path for split in plan.splits for piece in split.fragments}
    return {"plan": plan.number, "parts": len(plan.splits), "files": len(files), **sums, "counts": dict(noticed), "made": listed}
