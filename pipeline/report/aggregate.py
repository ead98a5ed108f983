"""Partial aggregates of a block of parts, first round: all that is counted by hour, name and term.

Every figure is a sum of integers (sentiment in millionths), so partial aggregates of any division of the parts, merged in any
order, come to the same tables: a fleet may make one for each part, `pipeline.report.sums` adds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from models.runtime.labels import SENTIMENTS
from pipeline.report.classes import are_moods
from pipeline.report.clock import Clock
from pipeline.report.name_normalization import normalize_names
from pipeline.report.parts import Part, relation, release
from pipeline.report.stop_words import stop_words
from pipeline.report.window import TIME_US, ReportWindow
from pipeline.report.words import COUNTS, Terms
from pipeline.store.base import Store
from pipeline.timezones import STRETCH_US

MICRO = 1_000_000
BATCH_ROWS = 4_096
_SCORE = f"cast(round((sentiment_scores.positive::DOUBLE - sentiment_scores.negative::DOUBLE) * {MICRO}) as BIGINT)"

Partial = dict[str, pa.Table]
_NUMBERS = [(name, pa.int64()) for name in ("documents", "negative", "neutral", "positive", "score")]
# hour is the begin of an hour in microseconds since 1970, day counts from then on, both by the clocks of the report's zone; score
# is a sum of millionths; current: of the report's days, not of the trailing ones. Numbers of moods, and the score, are null where
# the documents' classes are no moods.
SCHEMAS = {
    "read": pa.schema([("part", pa.string()), *((name, pa.int64()) for name in ("rows", "current", "undated"))]),
    "hours": pa.schema(
        [(name, pa.int64()) for name in ("hour", "day")]
        + [("current", pa.bool_()), ("source", pa.string()), ("lang", pa.string()), *_NUMBERS]
    ),
    "classes": pa.schema(
        [("day", pa.int64()), *((name, pa.string()) for name in ("source", "lang", "class")), ("documents", pa.int64())]
    ),
    "names": pa.schema(
        [("day", pa.int64()), ("current", pa.bool_()), ("name", pa.string()), ("mentions", pa.int64()), *_NUMBERS]
    ),
    "surfaces": pa.schema([("name", pa.string()), ("surface", pa.string()), ("label", pa.string()), ("mentions", pa.int64())]),
    "terms": COUNTS,
}
EMPTY: Partial = {name: schema.empty_table() for name, schema in SCHEMAS.items()}


def aggregate(store: Store, con: Any, block: Sequence[Part], window: ReportWindow, terms: Terms | None) -> Partial:
    """Count a block of parts by hour, name and term.

    Args:
        store: Store of the tagged output.
        con: DuckDB connection.
        block: The parts that are counted together.
        window: Days of the report.
        terms: Counter of terms; None counts no terms.

    Returns:
        Tables `read`, `hours`, `classes`, `names`, `surfaces` and `terms`, in the form of `SCHEMAS`. `read` counts all rows, by
        part, `classes` those of the report's days; the others count only documents of the report's days and of the trailing ones.
        `terms` is empty also where a part has no texts or there are no stop words.
    """
    found = {"read": _read(store, con, block, window)}
    scores, score, moods = _sentiment(block)
    docs = relation(store, con, block, ["created_at", "source", "lang", "sentiment", *scores])
    clock = _clock(con, docs, window)
    found["hours"] = con.sql(f"""select {clock.hour("time")} as hour, {clock.day("time")} as day, current, source, lang, {moods}
        from (select {TIME_US} as time, {window.current()} as current, source, lang, sentiment, {score} as score
        from {docs} where {window.seen()}) group by all""").to_arrow_table()
    found["classes"] = con.sql(f"""select {clock.day("time")} as day, source, lang, sentiment as class, count(*) as documents
        from (select {TIME_US} as time, source, lang, sentiment from {docs} where {window.current()} and sentiment is not null)
        group by all""").to_arrow_table()
    found["names"], found["surfaces"] = _names(store, con, block, window)
    found["terms"] = COUNTS.empty_table() if terms is None else _terms(store, con, block, window, terms)
    release(con, block)
    return {name: table.cast(SCHEMAS[name]) for name, table in found.items()}


def _read(store: Store, con: Any, block: Sequence[Part], window: ReportWindow) -> pa.Table:
    """By part: rows, those of the report's days, and those with no time."""
    docs = relation(store, con, block, ["created_at"])
    rows = con.execute(f"""select doc >> 40, count(*), count(*) filter ({window.current()}),
        count(*) filter (created_at is null) from {docs} group by 1""").fetchall()
    counted = {row[0]: row[1:] for row in rows}
    every = [counted.get(number, (0, 0, 0)) for number in range(len(block))]
    columns = [[part.name for part in block], *([row[n] for row in every] for n in range(3))]
    return pa.table(columns, names=["part", "rows", "current", "undated"])


def _sentiment(block: Sequence[Part]) -> tuple[list[str], str, str]:
    """The columns that sentiment needs beside the class; SQL of a document's score, and of what is counted of documents."""
    if are_moods(block[0].classes):
        counts = [f"count(*) filter (sentiment = '{name}') as {name}" for name in SENTIMENTS]
        columns, score = ["sentiment_scores"], _SCORE
    else:
        counts = [f"null::BIGINT as {name}" for name in SENTIMENTS]
        columns, score = [], "null::BIGINT"
    return columns, score, f"count(*) as documents, {', '.join(counts)}, sum(score)::BIGINT as score"


def _clock(con: Any, docs: str, window: ReportWindow) -> Clock:
    """The clock of the times there are: those of a report of everything may be thousands of years apart."""
    if window.first is not None or window.zone == "UTC":
        return window.clock()
    stretch = f"(time - (time % {STRETCH_US} + {STRETCH_US}) % {STRETCH_US}) // {STRETCH_US}"
    rows = con.execute(f"select distinct {stretch} from (select {TIME_US} as time from {docs}) where time is not null").fetchall()
    return window.clock(row[0] for row in rows)


def mentions(store: Store, con: Any, block: Sequence[Part], window: ReportWindow, more: str = "") -> None:
    """Make the table `mention`, with a row for each time a document names an entity.

    It holds `doc`, `day`, `current`, `sentiment`, `score` (millionths), `surface` (the spelling), `label`, `name` and the columns
    of `more`, for documents of the report's days and the trailing ones. `name` is the number of the folded name in a second
    table, `folded` (`name`, `text`). Spellings without a letter or digit and entities below the report's least score are left
    out. Both tables stay until the caller drops them; what was read for them, until it calls `release`.

    Args:
        store: Store of the tagged output.
        con: DuckDB connection in which the tables are made.
        block: The parts that are read.
        window: Days of the report.
        more: Further columns of the documents as SQL, each with a comma in front; of `id`, `source` and `created_at`.
    """
    scores, score, _ = _sentiment(block)
    docs = relation(store, con, block, ["created_at", "sentiment", *scores, "entities", *(["id", "source"] if more else [])])
    day = _clock(con, docs, window).day("time")
    con.execute(f"""create or replace temp table raw as select doc, {day} as day, current, sentiment,
        score, entity.text as surface, entity.label as label {more} from (
            select doc, {TIME_US} as time, {window.current()} as current, sentiment, {score} as score,
            unnest(entities) as entity {more} from {docs} where {window.seen()})
        where entity.score >= cast({window.min_score} as FLOAT)""")
    surfaces = con.sql("select distinct surface from raw").to_arrow_table()["surface"].combine_chunks()
    folded = normalize_names(surfaces)
    named = pc.match_substring_regex(folded, r"[\p{L}\p{N}]")  # signs alone are no name
    surfaces, names = surfaces.filter(named), folded.filter(named).dictionary_encode()
    con.register("folds", pa.table({"surface": surfaces, "name": names.indices}))
    con.register("folded_now", pa.table({"name": pa.array(range(len(names.dictionary)), pa.int32()), "text": names.dictionary}))
    con.execute("create or replace temp table folded as from folded_now")
    con.execute("create or replace temp table mention as select raw.*, name from raw join folds using (surface)")
    con.execute("drop table raw")
    con.unregister("folds")
    con.unregister("folded_now")


def _names(store: Store, con: Any, block: Sequence[Part], window: ReportWindow) -> tuple[pa.Table, pa.Table]:
    mentions(store, con, block, window)
    names = con.sql(f"""select day, current, text as name, mentions, documents, negative, neutral, positive, score from (
        select day, current, name, sum(times)::BIGINT as mentions, {_sentiment(block)[2]} from (
            select doc, name, any_value(day) as day, any_value(current) as current, any_value(sentiment) as sentiment,
            any_value(score) as score, count(*) as times from mention group by doc, name)
        group by day, current, name) join folded using (name)""").to_arrow_table()
    surfaces = con.sql("""select text as name, surface, label, times as mentions from (
        select name, surface, label, count(*) as times from mention where current group by all)
        join folded using (name)""").to_arrow_table()
    con.execute("drop table mention; drop table folded")
    return names, surfaces


def _terms(store: Store, con: Any, block: Sequence[Part], window: ReportWindow, terms: Terms) -> pa.Table:
    if not all(part.has_text for part in block) or stop_words("en") is None:
        return COUNTS.empty_table()
    docs = relation(store, con, block, ["created_at", "lang", "text", "words", "entities"])
    batches = con.sql(
        f"select {window.current()} as current, lang, text, words, entities from {docs} where {window.seen()}"
    ).to_arrow_reader(BATCH_ROWS)
    counted = [terms.count(batch) for batch in batches]
    if not counted:
        return COUNTS.empty_table()
    con.register("counted", pa.concat_tables(counted))
    summed = con.sql("""select current, lang, pos, term, sum(mentions)::BIGINT as mentions,
        sum(documents)::BIGINT as documents from counted group by all""").to_arrow_table()
    con.unregister("counted")
    return summed.cast(COUNTS)
