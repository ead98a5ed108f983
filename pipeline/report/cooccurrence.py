"""Partial aggregates, second round: which of the names chosen after the first stand in one document, and where they stand.

A pair in S documents consists of names that are in S documents each (R. Agrawal, R. Srikant, Fast algorithms for mining
association rules, VLDB 1994): names in fewer documents need not be looked at. Of a document the `MOST` most frequent names are
paired, of all names the `NAMES` most frequent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipeline.report.aggregate import Partial, mentions
from pipeline.report.parts import Part, release
from pipeline.report.window import TIME_US, ReportWindow
from pipeline.store.base import Store

SUPPORT = 2
NAMES = 5_000
MOST = 50
EXAMPLES = 3

CHOSEN = pa.schema([("name", pa.string()), ("number", pa.int32()), ("paired", pa.bool_()), ("shown", pa.bool_())])

NO_PAIRS = pa.schema([("a", pa.int32()), ("b", pa.int32()), ("documents", pa.int64())])
NO_EXAMPLES = pa.schema(
    [("number", pa.int32()), ("time", pa.int64()), ("id", pa.string()), ("source", pa.string()), ("sentiment", pa.string())]
)


def cooccurrences(store: Store, con: Any, block: Sequence[Part], window: ReportWindow, chosen: pa.Table) -> Partial:
    """Count in how many documents of a block two of the chosen names stand together, and find the latest documents of each name.

    Only documents of the report's days count. Of a document, only the `MOST` most frequent names that are to be paired are.

    Args:
        store: Store of the tagged output.
        con: DuckDB connection.
        block: The parts that are counted together.
        window: Days of the report.
        chosen: The names, in the form of `CHOSEN`, numbered by falling frequency.

    Returns:
        Tables `pairs`, in the form of `NO_PAIRS` with `a` < `b`, and `examples`, in the form of `NO_EXAMPLES`, with at most
        `EXAMPLES` rows per name.
    """
    mentions(store, con, block, window, ", id, source, created_at")
    con.register("chosen_now", chosen)
    con.execute(f"""create or replace temp table held as select doc, number,
        any_value(paired) as paired, any_value(shown) as shown,
        any_value(id) as id, any_value(source) as source, any_value({TIME_US}) as time,
        any_value(sentiment) as sentiment
        from mention join folded using (name) join chosen_now on folded.text = chosen_now.name where current
        group by doc, number""")
    con.unregister("chosen_now")
    pairs = con.sql(f"""with few as (select doc, number from held where paired
            qualify row_number() over (partition by doc order by number) <= {MOST})
        select one.number as a, other.number as b, count(*) as documents
        from few as one join few as other on one.doc = other.doc and one.number < other.number group by 1, 2""").to_arrow_table()
    examples = con.sql(f"select number, time, id, source, sentiment from held where shown {_LATEST}").to_arrow_table()
    con.execute("drop table mention; drop table folded; drop table held")
    release(con, block)
    return {"pairs": pairs.cast(NO_PAIRS), "examples": examples.cast(NO_EXAMPLES)}


# Rows that are equal in all of this are equal in what is shown, so that it does not matter which of them is taken.
_LATEST = f"""qualify row_number() over (
    partition by number order by time desc nulls last, id, source nulls last, sentiment) <= {EXAMPLES}"""


def latest(con: Any, partials: Sequence[pa.Table]) -> pa.Table:
    """Find the latest examples of each name, `EXAMPLES` at most.

    Args:
        con: DuckDB connection.
        partials: Examples of one or more blocks, in the form of `NO_EXAMPLES`.

    Returns:
        The examples in the same form, ordered by the name's number, then the latest first; those without a time come last.
    """
    con.register("several", pa.concat_tables(partials))
    found = con.sql(f"from several {_LATEST} order by number, time desc nulls last, id, source, sentiment").to_arrow_table()
    con.unregister("several")
    return found
