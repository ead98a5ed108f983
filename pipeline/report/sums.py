"""Partial aggregates added up: whatever the division of the parts and the order, the sums are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.report.aggregate import Partial

_MOODS = ["documents", "negative", "neutral", "positive", "score"]
# What a table is grouped by, and what is added.
SUMS = {
    "read": (["part"], ["rows", "current", "undated"]),
    "hours": (["hour", "day", "current", "source", "lang"], _MOODS),
    "classes": (["day", "source", "lang", "class"], ["documents"]),
    "names": (["day", "current", "name"], ["mentions", *_MOODS]),
    "surfaces": (["name", "surface", "label"], ["mentions"]),
    "terms": (["current", "lang", "pos", "term"], ["mentions", "documents"]),
}
PAIR_SUMS = {"pairs": (["a", "b"], ["documents"])}


class Sums:
    """Adds up partial aggregates inside DuckDB, which writes to disk what does not fit into its memory.

    Args:
        con: DuckDB connection in which the tables are made.
        sums: By table: the columns it is grouped by, and the columns that are added.
    """

    def __init__(self, con: Any, sums: dict[str, tuple[list[str], list[str]]]) -> None:
        self._con, self._sums, self._made = con, sums, set[str]()

    def add(self, partial: Partial) -> None:
        """Add one more partial aggregate.

        Args:
            partial: Tables by name, with at least those that are summed.
        """
        for name in self._sums:
            self._con.register("partial", partial[name])
            if name in self._made:
                self._con.execute(f"insert into part_{name} by name from partial")
            else:
                self._con.execute(f"create or replace temp table part_{name} as from partial")
                self._made.add(name)
            self._con.unregister("partial")

    def close(self) -> None:
        """Make the tables of the sums in DuckDB, each under its own name, and drop the partial ones.

        At least one partial aggregate must have been added.
        """
        for name, (keys, values) in self._sums.items():
            chosen = ", ".join([*keys, *(f"sum({value})::BIGINT as {value}" for value in values)])
            groups = ", ".join(map(str, range(1, len(keys) + 1)))
            self._con.execute(f"create or replace temp table {name} as select {chosen} from part_{name} group by {groups}")
            self._con.execute(f"drop table part_{name}")
        self._made.clear()


def merge(con: Any, partials: list[Partial]) -> Partial:
    """Return the sum of partial aggregates, as a partial aggregate.

    Args:
        con: DuckDB connection.
        partials: One or more, all of the same tables, which are among `SUMS`.
    """
    sums = Sums(con, {name: SUMS[name] for name in partials[0]})
    for partial in partials:
        sums.add(partial)
    sums.close()
    return {name: con.sql(f"from {name}").to_arrow_table().cast(table.schema) for name, table in partials[0].items()}


def count_of(con: Any, sql: str, values: Sequence[Any] = ()) -> int:
    """Return the number that a query yields; 0 for null, as of a sum over no rows.

    Args:
        con: DuckDB connection.
        sql: Query of one row with one number or null.
        values: Values of the query's placeholders.
    """
    return int(con.execute(sql, list(values)).fetchall()[0][0] or 0)
