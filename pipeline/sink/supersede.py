"""Files that are tagged anew: the parts of the plan that did it take the place of their rows in the parts of earlier plans.

First those rows are taken out, part by part, then the new parts get their names: for a moment documents of these files are
missing, none is ever there twice. Each step can be taken again: a run that was killed in the middle is gone on with by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contract import Split
from pipeline.errors import OutputError
from pipeline.faults import point
from pipeline.sink.attempt import PartFile, read_footer
from pipeline.sink.files import replace, try_delete
from pipeline.sink.layout import DAYS, DEAD_LETTERS, FILTERED, NEXT, STAGING, TAGS, part_path
from pipeline.sink.origins import ORIGINS, decode, encode, paths_of
from pipeline.sink.plan_log import Plan
from pipeline.sink.plans import PlanLog
from pipeline.sink.reconciliation import LOST, READ, SUPERSEDED, UNREAD, read_of, superseded_in, superseded_rows
from pipeline.source.archives import outer
from pipeline.store.base import Store
from pipeline.store.parquet import batches, parquet_file

# Parts without the rows of files that were tagged anew, until they have their names.
REDUCED = f"{NEXT}/reduced"
_SIDES = (DEAD_LETTERS, FILTERED)


def recover(store: Store) -> None:
    """Give each reduced part its name where a run was killed after it had deleted the old part.

    Args:
        store: The output, with its claim held.
    """
    for entry in list(store.list(f"{REDUCED}/{TAGS}")):
        target = entry.path.removeprefix(f"{REDUCED}/")
        if store.stat(target) is None:
            store.rename_no_overwrite(entry.path, target)


def check(store: Store, log: PlanLog, paths: Set[str], root: str) -> None:
    """Make sure that of each row in the parts of these files it is known which file it is from.

    Args:
        store: The output.
        log: The plans of the output.
        paths: Files that are to be tagged again, below `root`.
        root: URL of the input.

    Raises:
        OutputError: A part does not tell which file each of its rows is from.
    """
    for split in _splits_of(log, paths, root):
        _origins(store, split)


def supersede(store: Store, log: PlanLog, plan: Plan, lost: Mapping[str, Sequence[str]], run: str) -> None:
    """Let the parts of a plan take the place of what earlier plans have of its files.

    Rows of files that were gone, or had changed, before they could be read again stay where they are. If this is killed, calling
    it again finishes it.

    Args:
        store: The output, with its claim held.
        log: The plans of the output.
        plan: All its parts are there, under `_next/`.
        lost: Files of the plan that could not be read, by path: the kind of trouble (see `pipeline.source.read_counts.Trouble`)
            and a description. Of these files only those of the kind `broken` are replaced.
        run: Name of the run, with which the names of new attempts begin.

    Raises:
        OutputError: A part does not tell which file each of its rows is from.
    """
    paths = {piece.path for split in plan.splits for piece in split.fragments}
    paths -= {path for path, (trouble, _) in lost.items() if trouble != "broken"}
    for split in _splits_of(log, paths, plan.root):
        _reduce(store, split, paths, run)
        for entry in list(store.list(DAYS)):
            if entry.path.endswith(f"/plan-{split.plan:06d}.json"):
                try_delete(store, entry.path)
    for kind in (TAGS, *_SIDES):
        for entry in list(store.list(f"{NEXT}/{kind}")):
            if entry.path.rsplit("/", 1)[-1].startswith(f"part-{plan.number:06d}-"):
                point("supersede.publish.before")
                store.rename_no_overwrite(entry.path, entry.path.removeprefix(f"{NEXT}/"))


def _splits_of(log: PlanLog, paths: Set[str], root: str) -> Iterator[Split]:
    """The splits of finished plans of the newest generation that name one of these files."""
    for number in sorted(log.naming(paths, root) & log.done):
        yield from (split for split in log.plan(number).splits if not paths.isdisjoint(paths_of(split)))


def _reduce(store: Store, split: Split, paths: Set[str], run: str) -> None:
    target = part_path(split.name)
    places = {i for i, piece in enumerate(split.fragments) if piece.path in paths}
    footer = read_footer(store, target)
    if not places <= superseded_in(footer):
        for kind in (TAGS, *_SIDES):
            try_delete(store, part_path(split.name, kind, f"{REDUCED}/"))
        footer = _reduced(store, split, paths, footer, run)
        point("supersede.staged.after")
        _replace(store, TAGS, split)
    for kind in _SIDES:
        if store.stat(part_path(split.name, kind, f"{REDUCED}/")) is not None:
            _replace(store, kind, split)
        elif not footer[kind]:
            store.delete(part_path(split.name, kind))


def _replace(store: Store, kind: str, split: Split) -> None:
    replace(
        store, part_path(split.name, kind, f"{REDUCED}/"), part_path(split.name, kind), lambda: point("supersede.deleted.after")
    )


def _reduced(store: Store, split: Split, paths: Set[str], footer: dict[str, Any], run: str) -> dict[str, Any]:
    """Stage a part, and what was left out beside it, without the rows of these files; gives the new footer."""
    attempt = f"{run}-{uuid4().hex[:12]}"
    origins, names = _origins(store, split), paths_of(split)
    keeps = np.array([name not in paths for name in names], bool)[origins]
    places = {i for i, piece in enumerate(split.fragments) if piece.path in paths}
    new = {
        **footer,
        "run": run,
        "attempt": attempt,
        "rows": int(keeps.sum()),
        READ: [0 if i in places else read for i, read in enumerate(footer[READ])],
        **{key: {i: v for i, v in footer.get(key, {}).items() if int(i) not in places} for key in (UNREAD, LOST)},
        SUPERSEDED: {
            "fragments": sorted(superseded_in(footer) | places),
            "rows": superseded_rows(footer) + len(keeps) - int(keeps.sum()),
        },
    }
    gone = pa.array(sorted(name.encode("utf-8", "replace").decode() for name in paths), pa.string())
    for kind in _SIDES:
        if footer[kind]:
            new[kind] = _copy(store, kind, split, new, {}, lambda batch, at: _of_others(batch["path"], gone))
    more = {ORIGINS: encode([origins[keeps]])} if len(names) > 1 else {}
    _copy(store, TAGS, split, new, more, lambda batch, at: pa.array(keeps[at : at + len(batch)]))
    return new


def _of_others(paths: pa.Array, gone: pa.Array) -> pa.Array:
    """Which paths are neither of these files nor of members of them."""
    files = pa.array([outer(path) for path in paths.to_pylist()], pa.string())
    return pc.invert(pc.or_(pc.is_in(paths, gone), pc.is_in(files, gone)))


_Keep = Callable[[pa.RecordBatch, int], pa.Array]


def _copy(store: Store, kind: str, split: Split, footer: dict[str, Any], more: dict[bytes, bytes], keep: _Keep) -> int:
    """Stage the rows of one file of a part that `keep` chooses of each batch, row group by row group; gives how many."""
    path = part_path(split.name, kind)
    staged = f"{STAGING}/{footer['attempt']}/{split.name}.{kind}.reduced"
    with store.open_read(path) as source, store.create_exclusive(staged) as stream:
        file = parquet_file(source)
        out = PartFile(stream, staged, file.schema_arrow.remove_metadata())
        at = 0
        for group in range(file.num_row_groups):
            rows = []
            for batch in batches(file, row_groups=[group]):
                rows.append(batch.filter(keep(batch, at)))
                at += len(batch)
            out.write(pa.Table.from_batches(rows, file.schema_arrow).replace_schema_metadata(None))
        out.close({**footer, **({} if kind == TAGS else {kind: out.rows})}, more)
    if kind != TAGS and not out.rows:
        store.delete(staged)
    else:
        store.rename_no_overwrite(staged, f"{REDUCED}/{path}")
    try_delete(store, f"{STAGING}/{footer['attempt']}")
    return out.rows


def _origins(store: Store, split: Split) -> np.ndarray:
    """Which file each row of a part is of, see `pipeline.sink.origins`. Raises OutputError if the part does not tell."""
    path = part_path(split.name)
    with store.open_read(path) as stream:
        about = pq.read_metadata(stream)
        found = decode(about.metadata or {}, split, about.num_rows)
    if found is None or read_of(read_footer(store, path)) is None:
        raise OutputError(
            f"{store.url}/{path} was made by a version that did not keep which rows are of which file; give --retag to tag "
            "everything anew"
        )
    return found
