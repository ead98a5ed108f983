"""Whether a report says the same everywhere: what was read, the files that were written, the page."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.compute as pc

from models.runtime.labels import SENTIMENTS
from pipeline.errors import ReportError
from pipeline.report.classes import are_moods
from pipeline.report.page import numbers_of
from pipeline.store.base import Store
from pipeline.store.parquet import read_table


def check_consistency(
    store: Store, folder: str, page: str, read: dict[str, tuple[int, int, int]], classes: Sequence[str]
) -> None:
    """Compare the figures of the page with the files that were written, and both with what was read.

    Args:
        store: Store of the report.
        folder: Folder that holds the report's files, below the store's root.
        page: The page's HTML.
        read: By part: all its rows, its rows of the report's days, and its rows without a time.
        classes: Classes that documents may have. If there are any, their counts must add up to all documents, and where they are
            moods those by sentiment too.

    Raises:
        ReportError: They do not agree; the message names each pair of counts that differ.
    """
    written = {}
    for name, column, only in (
        ("sentiment", "documents", None),
        ("classes", "documents", None),
        ("entities", "mentions", None),
        ("outcomes", "documents", "tagged"),
        ("outcomes", "documents", "dead_letter"),
        ("outcomes", "documents", "filtered"),
    ):
        with store.open_read(f"{folder}/{name}.parquet") as stream:
            table = read_table(stream, [column, *(["outcome"] if only else [])])
        if only:
            table = table.filter(pc.equal(table["outcome"], only))
        written[only or name] = int(pc.sum(table[column]).as_py() or 0)
    with store.open_read(f"{folder}/sentiment.parquet") as stream:
        by_mood = [pc.sum(column).as_py() or 0 for column in read_table(stream, SENTIMENTS).columns]
    counted = sum(current for _, current, _ in read.values())
    said = numbers_of(page)
    pairs = {
        "documents read and in the table sentiment": (counted, written["sentiment"]),
        "documents read and in the table outcomes": (counted, written["tagged"]),
        "documents read and in the table classes": (counted if classes else 0, written["classes"]),
        "documents read and in the table sentiment by sentiment": (counted if are_moods(classes) else 0, sum(by_mood)),
        "documents in the table sentiment and on the page": (written["sentiment"], said["documents"]),
        "mentions in the table entities and on the page": (written["entities"], said["mentions"]),
        "dead letters in the table outcomes and on the page": (written["dead_letter"], said["dead_letters"]),
        "filtered in the table outcomes and on the page": (written["filtered"], said["filtered"]),
    }
    if wrong := [f"{name}: {a} and {b}" for name, (a, b) in pairs.items() if a != b]:
        raise ReportError("the report does not agree with itself, and is not published: " + "; ".join(wrong))
