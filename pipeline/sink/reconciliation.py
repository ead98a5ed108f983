"""Whether all that was read is accounted for.

What a reader has met, fragment by fragment, is counted apart from what becomes of it, and kept with the part; here the two are
compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from pipeline.contract import Split
from pipeline.errors import LostDocumentsError, StoreError
from pipeline.sink.layout import OUTCOMES, TAGS
from pipeline.source.read_counts import ReadCounts
from pipeline.store.base import Store

READ, UNREAD, LOST, SUPERSEDED = "read", "unread", "lost", "superseded"


def written(met: Sequence[ReadCounts]) -> dict[str, Any]:
    """Build what a part's footer says of what was read.

    Args:
        met: What was met in each fragment, in the order of the split.

    Returns:
        `read`: documents of each fragment, in the order of the split. `unread`: for fragments that could not be read to their
        end, by their place in that order, how many rows are missing; 0 if nobody knows. `lost`: for those, and for fragments of
        which only pieces could not be read, by place, the kind of trouble and a description.
    """
    return {
        READ: [one.documents for one in met],
        UNREAD: {str(i): one.unread for i, one in enumerate(met) if one.broken},
        LOST: {str(i): [one.trouble, one.why] for i, one in enumerate(met) if one.broken or one.why},
    }


def superseded_in(footer: Mapping[str, Any]) -> frozenset[int]:
    """Return the places of the fragments whose documents were taken out of a part because a later plan has tagged them anew.

    Args:
        footer: The part's footer.
    """
    return frozenset(footer.get(SUPERSEDED, {}).get("fragments", ()))


def superseded_rows(footer: Mapping[str, Any]) -> int:
    """Return how many rows were taken out of a part because a later plan has tagged their files anew.

    Args:
        footer: The part's footer.
    """
    return int(footer.get(SUPERSEDED, {}).get("rows", 0))


def read_of(footer: Mapping[str, Any]) -> int | None:
    """Return how many documents were read for a part; None for a part of a version that did not count them.

    Args:
        footer: The part's footer.
    """
    return sum(footer[READ]) if READ in footer else None


def accounted_for(footer: Mapping[str, Any]) -> int:
    """Return how many documents are in the files of a part by its footer: its rows, its dead letters and the filtered ones.

    Args:
        footer: The part's footer.
    """
    return int(footer["rows"]) + sum(int(footer[kind]) for kind in OUTCOMES.values())


def check_footer(split: Split, footer: Mapping[str, Any]) -> None:
    """Compare what was read for a part with what the part accounts for, and with the row counts that tables told the plan.

    Nothing is compared for a part of a version that did not count what was read.

    Args:
        split: What the part was made of.
        footer: The part's footer.

    Raises:
        LostDocumentsError: They do not agree.
    """
    read = read_of(footer)
    if read is None:
        return
    if read != (there := accounted_for(footer)):
        raise LostDocumentsError(
            f"{split.name}: {read:,} documents were read, {there:,} are accounted for; nothing of it is published"
        )
    if len(footer[READ]) != len(split.fragments):
        raise LostDocumentsError(f"{split.name}: {len(split.fragments)} fragments were planned, {len(footer[READ])} were read")
    gone = superseded_in(footer)
    for i, piece in enumerate(split.fragments):
        if i in gone:
            continue
        broken = str(i) in footer[UNREAD]
        met = ReadCounts(footer[READ][i], footer[UNREAD].get(str(i), 0), broken)
        if not met.agrees(piece):
            raise LostDocumentsError(
                f"{piece.path}: its footer counted {piece.rows:,} rows when it was planned, {met.documents - broken:,} were read"
            )


def check_files(store: Store, part: str, footer: Mapping[str, Any], rows: int) -> None:
    """Compare the rows that the files of a part hold with what its footer says.

    Args:
        store: The output.
        part: Path of the part's tags, below the store's root.
        footer: The part's footer.
        rows: Rows that the file of the tags holds, by its Parquet metadata.

    Raises:
        LostDocumentsError: They do not agree.
        StoreError: A file cannot be read.
    """
    for kind, said in ((TAGS, footer["rows"]), *((kind, footer[kind]) for kind in OUTCOMES.values())):
        path = part.replace(f"{TAGS}/", f"{kind}/", 1)
        there = rows if kind == TAGS else _rows(store, path) if said else 0
        if there != said:
            what = f"{there:,} rows are there, the part says {said:,}"
            raise LostDocumentsError(f"{store.url}/{path}: {what}; remove the part, and the next run makes it anew")


def _rows(store: Store, path: str) -> int:
    """Rows of a Parquet file; 0 if there is none."""
    if store.stat(path) is None:
        return 0
    try:
        with store.open_read(path) as stream:
            return int(pq.read_metadata(stream).num_rows)
    except (OSError, ValueError) as error:
        raise StoreError(path, f"cannot be read: {error}") from error
