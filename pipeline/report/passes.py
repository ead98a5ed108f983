"""The two rounds over the parts: what is counted by hour, name and term; then, of the names chosen, what stands together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
from typing_extensions import override

from pipeline.report.aggregate import EMPTY, Partial, aggregate
from pipeline.report.cooccurrence import NO_EXAMPLES, NO_PAIRS, cooccurrences, latest
from pipeline.report.parts import Part, blocks
from pipeline.report.stop_words import stop_words
from pipeline.report.sums import PAIR_SUMS, SUMS, Sums
from pipeline.report.window import ReportWindow
from pipeline.report.words import Terms
from pipeline.report.workers import Pass, PassRunner
from pipeline.store.base import Store


@dataclass(frozen=True, slots=True)
class First(Pass):
    """First pass: counts by hour, name and term.

    Attributes:
        window: Days of the report.
        terms: Whether terms are counted.
    """

    window: ReportWindow
    terms: bool

    @override
    def count(self, store: Store, con: Any, block: Sequence[Part]) -> Partial:
        return aggregate(store, con, block, self.window, _terms() if self.terms else None)


@cache
def _terms() -> Terms:
    """Of this process: most words of a block have been seen in one before."""
    return Terms()


@dataclass(frozen=True, slots=True)
class Second(Pass):
    """Second pass: counts which of the chosen names stand together, and where they stand.

    Attributes:
        window: Days of the report.
        chosen: The names, in the form of `CHOSEN`.
    """

    window: ReportWindow
    chosen: pa.Table

    @override
    def count(self, store: Store, con: Any, block: Sequence[Part]) -> Partial:
        return cooccurrences(store, con, block, self.window, self.chosen)


def first_pass(runner: PassRunner, con: Any, parts: Sequence[Part], window: ReportWindow) -> dict[str, tuple[int, int, int]]:
    """Count the parts by hour, name and term, and leave the sums in DuckDB as the tables of `SUMS`.

    Parts whose statistics say that no row is of the report's days or the trailing ones are not opened again.

    Args:
        runner: Runner that counts the blocks.
        con: DuckDB connection in which the tables are made.
        parts: All parts of the output.
        window: Days of the report.

    Returns:
        By part: all its rows, its rows of the report's days, and its rows without a time.
    """
    sums = Sums(con, SUMS)
    sums.add(EMPTY)
    touched = [part for part in parts if window.touches(part.dated, part.undated)]
    for partial in runner.each(First(window, terms_are_there(parts)), blocks(touched)):
        sums.add(partial)
    sums.close()
    _terms.cache_clear()
    seen = {row[0]: row[1:] for row in con.execute('select part, "rows", current, undated from read').fetchall()}
    return {part.name: seen.get(part.name, (part.rows, 0, part.undated)) for part in parts}


def second_pass(runner: PassRunner, con: Any, parts: Sequence[Part], window: ReportWindow, chosen: pa.Table) -> pa.Table:
    """Count the pairs of names, and leave the tables `pairs` (the sums) and `chosen` in DuckDB.

    Args:
        runner: Runner that counts the blocks.
        con: DuckDB connection in which the tables are made.
        parts: The parts that hold documents of the report's days.
        window: Days of the report.
        chosen: The names, in the form of `CHOSEN`.

    Returns:
        The latest documents of each name, in the form of `NO_EXAMPLES`.
    """
    sums, examples = Sums(con, PAIR_SUMS), NO_EXAMPLES.empty_table()
    sums.add({"pairs": NO_PAIRS.empty_table()})
    for partial in runner.each(Second(window, chosen), blocks(parts)):
        sums.add(partial)
        examples = latest(con, [examples, partial["examples"]])
    sums.close()
    con.register("chosen_now", chosen)
    con.execute("create or replace temp table chosen as from chosen_now")
    con.unregister("chosen_now")
    return examples


def terms_are_there(parts: Sequence[Part]) -> bool:
    """Whether terms can be counted: every part holds its documents' texts, and there are stop words.

    Args:
        parts: All parts of the output.
    """
    return all(part.has_text for part in parts) and stop_words("en") is not None


def missing_reason(parts: Sequence[Part]) -> str | None:
    """Return why there are no terms, `no_text` or `no_spacy`, a key of the page's texts; None if there are some.

    Args:
        parts: All parts of the output.
    """
    if not all(part.has_text for part in parts):
        return "no_text"
    return "no_spacy" if stop_words("en") is None else None
