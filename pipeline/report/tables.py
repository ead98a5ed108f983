"""The tables of a report, made of the sums; in DuckDB, each in an order that is always the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.report import statistics
from pipeline.report.aggregate import MICRO
from pipeline.report.cooccurrence import CHOSEN, NAMES, SUPPORT
from pipeline.report.schema import TABLES
from pipeline.report.sums import count_of

# Of the names, so many are in the page, and have examples.
PAGE_NAMES = 1_500
RISING = 1_000
PAIRS = 100_000
TERMS = 20_000
BATCH_ROWS = 50_000
_MEAN = f"score / {MICRO}.0 / documents"
_DAY = "DATE '1970-01-01' + cast({} as INTEGER)"


def prepare(con: Any) -> None:
    """Make the tables `spelling` and `total` out of the sums of the first pass.

    `spelling` holds the most frequent spelling and label of each name, of equals the first in code point order. `total` adds up
    each name over all of the report's days.

    Args:
        con: DuckDB connection with the sums.
    """
    con.execute("""create or replace temp table spelling as
        with spelled as (select name, surface, sum(mentions) as n from surfaces group by all),
        labelled as (select name, label, sum(mentions) as n from surfaces group by all)
        select s.name, s.shown, l.label from
            (select name, arg_min(surface, (-n, surface)) as shown from spelled group by name) s
            join (select name, arg_min(label, (-n, label)) as label from labelled group by name) l using (name)""")
    con.execute("""create or replace temp table total as select name, sum(mentions)::BIGINT as mentions,
        sum(documents)::BIGINT as documents, sum(negative)::BIGINT as negative, sum(neutral)::BIGINT as neutral,
        sum(positive)::BIGINT as positive, sum(score)::BIGINT as score from names where current group by name""")


def documents_of(con: Any, current: bool) -> int:
    """Return the number of documents of the report's days, or of the trailing ones.

    Args:
        con: DuckDB connection with the sums of the first pass.
        current: True for the report's days, False for the trailing ones.
    """
    return count_of(con, f"select sum(documents) from hours where current = {current}")


def rising_entities(con: Any) -> pa.Table:
    """Find the names that rise, see `pipeline.report.statistics.rises`.

    Args:
        con: DuckDB connection, after `prepare`.

    Returns:
        The table `rising_entities`, the highest G2 first, `RISING` rows at most.
    """
    rows = con.sql("""select t.name, shown, label, t.documents, coalesce(b.documents, 0)::BIGINT as before
        from total t join spelling using (name)
        left join (select name, sum(documents) as documents from names where not current group by name) b on b.name = t.name
        where t.documents >= 3""").to_arrow_table()
    return _risen(rows, documents_of(con, True), documents_of(con, False), TABLES["rising_entities"])


def rising_terms(con: Any) -> pa.Table:
    """Find the terms that rise, each compared with the documents of its language.

    Args:
        con: DuckDB connection with the sums of the first pass.

    Returns:
        The table `rising_terms`, one language after the other in alphabetical order; in each the highest G2 first, `RISING` rows
        at most.
    """
    rows = con.sql("""select lang, pos, term, coalesce(sum(documents) filter (current), 0)::BIGINT as documents,
        coalesce(sum(documents) filter (not current), 0)::BIGINT as before from terms group by all having documents >= 3
        """).to_arrow_table()
    schema = TABLES["rising_terms"]
    found = []
    for lang in sorted(set(rows["lang"].to_pylist())):
        now, before = (
            count_of(con, f"select sum(documents) from hours where current = {current} and lang = ?", [lang])
            for current in (True, False)
        )
        found.append(_risen(rows.filter(pa.compute.equal(rows["lang"], lang)), now, before, schema))
    return pa.concat_tables([schema.empty_table(), *found])


def _risen(rows: pa.Table, now: int, before: int, schema: pa.Schema) -> pa.Table:
    a, b = (rows[name].to_numpy() for name in ("documents", "before"))
    counts = (a, now, b, before)
    for name in ("expected", "ratio", "g2"):
        rows = rows.append_column(name, pa.array(getattr(statistics, name)(*counts)))
    rows = rows.filter(pa.array(statistics.rises(*counts), pa.bool_())).select(schema.names).cast(schema)
    keys = [(name, "ascending") for name in schema.names if schema.field(name).type == pa.string()]
    return rows.sort_by([("g2", "descending"), *keys]).slice(0, RISING)


def choose(con: Any, rising: pa.Table) -> pa.Table:
    """Choose the names that the second pass looks at: the most frequent ones, and all that rise.

    The `NAMES` most frequent are paired if they are in `SUPPORT` documents or more; the `PAGE_NAMES` most frequent, and those
    that rise, are shown on the page and get examples.

    Args:
        con: DuckDB connection, after `prepare`.
        rising: The table `rising_entities`.

    Returns:
        The names, in the form of `CHOSEN`, ordered and numbered by falling frequency, from 0.
    """
    con.register("risen", rising)
    found = con.sql(f"""select name, (place - 1)::INTEGER as number, documents >= {SUPPORT} and place <= {NAMES} as paired,
        place <= {PAGE_NAMES} or name in (select name from risen) as shown
        from (select name, documents, row_number() over (order by documents desc, name) as place from total)
        where place <= greatest({NAMES}, {PAGE_NAMES}) or name in (select name from risen) order by place""").to_arrow_table()
    con.unregister("risen")
    return found.cast(CHOSEN)


def pairs(con: Any) -> pa.Table:
    """Make the table of names that stand together, out of the sums of the second pass and `chosen`.

    Args:
        con: DuckDB connection, after `prepare` and the second pass.

    Returns:
        The table `pairs`, the most frequent first, `PAIRS` rows at most.
    """
    rows = con.sql(f"""select least(x.name, y.name) as name_a, greatest(x.name, y.name) as name_b, p.documents
        from pairs p join chosen x on x.number = a join chosen y on y.number = b where p.documents >= {SUPPORT}
        order by p.documents desc, name_a, name_b limit {PAIRS}""").to_arrow_table()
    con.register("few", rows)
    rows = con.sql("""select name_a, name_b, s.shown as shown_a, o.shown as shown_b, few.documents,
        x.documents as documents_a, y.documents as documents_b
        from few join spelling s on s.name = name_a join spelling o on o.name = name_b
        join total x on x.name = name_a join total y on y.name = name_b""").to_arrow_table()
    con.unregister("few")
    counts = [rows[name].to_numpy() for name in ("documents", "documents_a", "documents_b")]
    every = documents_of(con, True)
    with np.errstate(divide="ignore", invalid="ignore"):
        for name in ("lift", "npmi"):
            rows = rows.append_column(name, pa.array(getattr(statistics, name)(*counts, every)))
    keys = [("documents", "descending"), ("npmi", "descending"), ("name_a", "ascending"), ("name_b", "ascending")]
    return rows.cast(TABLES["pairs"]).sort_by(keys)


def examples(con: Any, latest: pa.Table) -> pa.Table:
    """Put the names to examples that are given by the names' numbers.

    Args:
        con: DuckDB connection with the table `chosen`.
        latest: Examples, in the form of `NO_EXAMPLES`.

    Returns:
        The table `examples`: the most frequent names first, and for each name the latest documents first.
    """
    con.register("examples_now", latest)
    found = con.sql("""select name, id, source, make_timestamp(time) as created_at, sentiment
        from examples_now join chosen using (number)
        order by number, time desc nulls last, id, source, sentiment""").to_arrow_table()
    con.unregister("examples_now")
    return found.cast(TABLES["examples"])


def plain(con: Any) -> Iterator[tuple[str, Iterator[pa.Table]]]:
    """Make the tables that are the sums as they stand: `sentiment`, `classes`, `volumes`, `entities` and `terms`.

    Args:
        con: DuckDB connection, after `prepare`.

    Yields:
        Name of a table, and its rows in pieces of up to `BATCH_ROWS`. The pieces must be read before the next table is asked for.
    """
    moods = "documents, negative, neutral, positive"
    summed = ", ".join(f"sum({name})::BIGINT as {name}" for name in (*moods.split(", "), "score"))
    queries = {
        "sentiment": f"""select make_timestamp(hour) as hour, source, lang, {moods}, {_MEAN} as mean_sentiment
            from hours where current order by hours.hour nulls last, source nulls last, lang""",
        "classes": f"""select {_DAY.format("day")} as day, source, lang, class, documents
            from classes order by classes.day nulls last, source nulls last, lang, class""",
        "volumes": f"""select {_DAY.format("day")} as day, source, lang, {moods}, {_MEAN} as mean_sentiment from (
            select day, source, lang, {summed} from hours group by all) v
            order by v.day nulls last, source nulls last, lang""",
        "entities": f"""select {_DAY.format("day")} as day, name, shown, label, mentions, {moods}, {_MEAN} as mean_sentiment,
            negative / documents as negative_share from names n join spelling using (name) where current
            order by n.day nulls last, documents desc, name""",
        "terms": f"""select lang, pos, term, mentions, documents from terms where current
            order by documents desc, mentions desc, term, pos, lang limit {TERMS}""",
    }
    for name, query in queries.items():
        schema = TABLES[name]
        reader = con.sql(query).to_arrow_reader(BATCH_ROWS)
        yield name, (pa.Table.from_batches([batch]).cast(schema) for batch in reader)
