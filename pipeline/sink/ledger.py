"""The output as the ledger: which parts are there, what a killed run left behind, and the change of generations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from pipeline.contract import Split
from pipeline.errors import OutputError
from pipeline.sink.attempt import publish, read_footer, read_part
from pipeline.sink.files import try_delete
from pipeline.sink.layout import DEAD_LETTERS, FILTERED, NEXT, OUTCOMES, PLANS, STAGING, TAGS
from pipeline.sink.plan_log import Plan
from pipeline.sink.reconciliation import LOST, accounted_for, check_files, check_footer, read_of
from pipeline.store.base import Store
from pipeline.store.parquet import batches, parquet_file


def check_output(store: Store) -> None:
    """Refuse a folder that holds tags but no plan that they could come from.

    Args:
        store: The output.

    Raises:
        OutputError: There are files in `tags/` and none in `_plans/`.
    """
    if next(iter(store.list(PLANS)), None) is None and next(iter(store.list(TAGS)), None) is not None:
        raise OutputError(f"{store.url} holds {TAGS}/ but no {PLANS}/: it is no output of textmill tag; name another folder")


def parts(store: Store) -> dict[str, str]:
    """Find every part that is there, including those of a generation that is still being made.

    Args:
        store: The output.

    Returns:
        Path of each part's tags by the part's name; where a name is in place and under `_next/` too, the path in place.
    """
    found = {}
    for folder in (f"{NEXT}/{TAGS}", TAGS):
        for entry in store.list(folder):
            found[entry.path.rsplit("/", 1)[-1].removesuffix(".parquet")] = entry.path
    return found


def recover(store: Store, there: dict[str, str]) -> None:
    """Publish what killed attempts had staged beside a part that is there, and remove staged files that nobody needs.

    Documents left out of a part are published only if they are of the attempt that made the part. Files staged for a part that
    is not there are kept: a worker that has outlived its driver may still publish it.

    Args:
        store: The output.
        there: Path of each part by its name, as `parts` gives it.

    Raises:
        OutputError: A file in the place of a part is none.
    """
    for entry in list(store.list(STAGING)):
        _, attempt, file = entry.path.split("/")
        name, _, kind = file.removesuffix(".parquet").partition(".")
        if not name.startswith("part-"):
            try_delete(store, f"{STAGING}/{attempt}")
        elif name in there:
            if kind in OUTCOMES.values() and read_footer(store, there[name])["attempt"] == attempt:
                publish(store, entry.path, there[name].replace(TAGS, kind, 1), attempt)
            store.delete(entry.path)


def splits_that_crashed(store: Store) -> set[str]:
    """Find the splits that an attempt has begun and neither finished nor given up.

    Args:
        store: The output.

    Returns:
        Names of their parts.
    """
    return {entry.path.rsplit("/", 1)[-1].partition(".")[0] for entry in store.list(STAGING) if "/part-" in entry.path}


def discard_run_staging(store: Store, run: str) -> None:
    """Remove what the attempts of a run have staged, after publishing what belongs to a part that is there.

    Only for when none of the run's workers is alive.

    Args:
        store: The output.
        run: Name of the run, with which the names of its attempts begin.
    """
    recover(store, parts(store))
    for attempt in {entry.path.split("/")[1] for entry in store.list(STAGING)}:
        if attempt.startswith(f"{run}-"):
            try_delete(store, f"{STAGING}/{attempt}")


def clean(store: Store) -> None:
    """Remove all staged files; only for when every planned part is there.

    Args:
        store: The output.
    """
    try_delete(store, STAGING)


def recover_switch(store: Store) -> None:
    """Finish or take back a change of generations that was killed halfway.

    Args:
        store: The output, with its claim held.
    """
    for kind in (TAGS, DEAD_LETTERS, FILTERED):
        store.recover_swap(f"{NEXT}/{kind}", kind)


def switch(store: Store, plan: Plan) -> None:
    """Replace the parts in place by those of a new generation, folder by folder, `tags` first.

    A folder is exchanged in one step where the old generation has files in it. If the new generation left nothing out, the old
    folder of what was left out is removed.

    Args:
        store: The output, with its claim held.
        plan: The first plan of the new generation, all of whose parts are there. Its number tells its parts from older ones.
    """
    mark = f"part-{plan.number:06d}-"
    for kind in (TAGS, DEAD_LETTERS, FILTERED):
        new = [entry.path for entry in store.list(f"{NEXT}/{kind}")]
        old = next(iter(store.list(kind)), None)
        if any(path.rsplit("/", 1)[-1].startswith(mark) for path in new):
            if old is None:
                for path in new:
                    store.rename_no_overwrite(path, path.removeprefix(f"{NEXT}/"))
            else:
                store.swap_folders(f"{NEXT}/{kind}", kind)
        elif old is not None and not old.path.rsplit("/", 1)[-1].startswith(mark):
            store.delete(kind)  # the old generation left something out, the new one nothing


def batches_of(store: Store, kind: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read all rows of one kind of file, part after part.

    Args:
        store: The output.
        kind: `tags`, `dead_letters` or `filtered`.
        columns: Names of the columns to read.

    Yields:
        Record batches of at most `pipeline.store.parquet.ROWS` rows.

    Raises:
        OutputError: A file is no part of a run, or lacks one of the columns.
    """
    for entry in store.list(kind):
        read_footer(store, entry.path)
        try:
            with store.open_read(entry.path) as stream:
                yield from batches(parquet_file(stream), columns)
        except (pa.ArrowException, KeyError) as error:
            raise OutputError(f"{store.url}/{entry.path} is no part of a run ({type(error).__name__}: {error})") from error


def missing(plans: Iterable[Plan], there: dict[str, str]) -> list[Split]:
    """Find the splits that have no part yet.

    Args:
        plans: Plans whose parts are wanted.
        there: Path of each part by its name, as `parts` gives it.

    Returns:
        The splits in the order of the plans.
    """
    return [split for plan in plans for split in plan.splits if split.name not in there]


def counts_of(store: Store, plan: Plan, there: dict[str, str], lost: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """Sum up the parts of a plan for the record that it is finished, and check each part on the way.

    Args:
        store: The output.
        plan: All of its parts must be there.
        there: Path of each part by its name, as `parts` gives it.
        lost: Filled by this call: for each input file that could not be read, by its path, the kind of trouble (see
            `pipeline.source.read_counts.Trouble`) and a description.

    Returns:
        The record, ready for JSON: sums over the footers of the parts (`rows`, `dead_letters`, `filtered`, `tokens`, `read`,
        `counts`), and under `made` one entry for each part.

    Raises:
        LostDocumentsError: What was read, what a footer says and what the files hold do not agree.
        OutputError: A file in the place of a part is none.
    """
    sums: Counter[str] = Counter(rows=0, dead_letters=0, filtered=0, tokens=0)
    noticed: Counter[str] = Counter()
    listed = []
    read = 0

    def checked(split: Split) -> dict[str, Any]:
        footer, rows = read_part(store, there[split.name])
        check_footer(split, footer)
        check_files(store, there[split.name], footer, rows)
        return footer

    with ThreadPoolExecutor(store.read_concurrency, "textmill-count") as pool:
        for split, footer in zip(plan.splits, pool.map(checked, plan.splits), strict=True):
            for place, trouble in footer.get(LOST, {}).items():
                if lost is not None:
                    lost.setdefault(split.fragments[int(place)].path, trouble)
            met = read_of(footer)
            read += accounted_for(footer) if met is None else met
            sums.update({key: footer[key] for key in sums})
            listed.append({"name": split.name, **{key: footer[key] for key in ("run", "attempt", *sums)}})
            noticed.update(footer["counts"])
    files = {piece.path for split in plan.splits for piece in split.fragments}
    about = {"plan": plan.number, "parts": len(plan.splits), "files": len(files), "read": read}
    return {**about, **sums, "counts": dict(noticed), "made": listed}
