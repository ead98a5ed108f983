"""Questions that are counted and not read.

The answer is a table that DuckDB counts from the tags, with the SQL that counted it: whoever doubts it can run that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa

from pipeline.ask.intents import Intent
from pipeline.ask.periods import Period
from pipeline.ask.search import Filters, split_entity
from pipeline.ask.tags_database import tag_classes, tag_parts, tags_database, tags_sql
from pipeline.report.classes import are_moods
from pipeline.report.name_normalization import normalize_name, normalize_names
from pipeline.store.base import Store

ROWS = 10


@dataclass(frozen=True, slots=True)
class CountedAnswer:
    """What was counted.

    Attributes:
        title: What the table is of, in words.
        table: The rows.
        sql: What DuckDB was asked; it can be run again.
    """

    title: str
    table: pa.Table
    sql: str


def count_answer(intents: Sequence[Intent], output: Store, filters: Filters | None = None) -> CountedAnswer | None:
    """Count what a question wants from the tags of an output.

    Args:
        intents: What it may want; the first whose name, source and type are known here is counted, and how negative something is
            only where documents have such classes.
        output: The output.
        filters: Which documents count.

    Returns:
        The table; None if none of them is known here, or there are no tags: then the question is to be read.

    Raises:
        OutputError: The tags cannot be counted.
        StoreError: The store of the output fails.
    """
    parts = tag_parts(output)
    if not parts:
        return None
    tags, filters = tags_sql(output), filters or Filters()
    by_class = filters.sentiment or any(intent.what == "sentiment" for intent in intents)
    classes = tag_classes(output, parts[0]) if by_class else ()
    with tags_database(output, parts) as con:
        if filters.sentiment not in classes and not _is_there(con, tags, "sentiment", filters.sentiment):
            return None
        where = _where(filters)
        label, name = split_entity(filters.entity, _types(con, tags) if ":" in filters.entity else ())
        spellings = _spellings(con, tags, {name, *(intent.name for intent in intents)} - {""})
        if name:
            where.append(_holding(spellings[name], label))
        for intent in intents:
            if (intent.name and not spellings[intent.name]) or not _is_there(con, tags, "source", intent.source):
                continue
            if (intent.what == "sentiment" and not are_moods(classes)) or not _is_type(con, tags, intent.label):
                continue
            period = intent.period or Period()
            mine = [*where, *_is("source", intent.source), *_within(period.first, period.last)]
            what, sql = _SQL[intent.what](intent, tags, mine, spellings.get(intent.name, []))
            title = ", ".join(part for part in (what, intent.source, str(period)) if part)
            table = con.sql(sql).to_arrow_table()
            if intent.what != "sentiment" or _adds_up(table):
                return CountedAnswer(title, table, sql)
    return None


def _types(con: Any, tags: str) -> list[str]:
    """The types of entities that the tags hold."""
    found = con.sql(f"select distinct unnest(entities).label as label from {tags}").to_arrow_table()["label"]
    return [str(label) for label in found.to_pylist()]


def _is_type(con: Any, tags: str, label: str) -> bool:
    """Whether the tags hold entities of a type; "" is any."""
    some = f"select 1 from (select unnest(entities).label as label from {tags}) where label = {_text(label)} limit 1"
    return not label or con.sql(some).to_arrow_table().num_rows > 0


def _adds_up(table: pa.Table) -> bool:
    """Whether all documents have a sentiment: not where a model with other classes has tagged some of the parts."""
    (row,) = table.to_pylist()
    return bool(row["documents"] == row["negative"] + row["neutral"] + row["positive"])


def _spellings(con: Any, tags: str, names: set[str]) -> dict[str, list[str]]:
    """The ways in which each of some names is written."""
    if not names:
        return {}
    found = con.sql(f"select distinct unnest(entities).text as surface from {tags} order by 1").to_arrow_table()["surface"]
    folded = normalize_names(found.combine_chunks()).to_pylist()
    wanted = {name: normalize_name(name) for name in names}
    return {
        name: [one for one, mine in zip(found.to_pylist(), folded, strict=True) if mine == normal]
        for name, normal in wanted.items()
    }


def _where(filters: Filters) -> list[str]:
    found = [clause for field in ("source", "sentiment", "lang") for clause in _is(field, getattr(filters, field))]
    return [*found, *_within(filters.since, filters.until)]


def _is(field: str, value: str) -> list[str]:
    return [f"{field} = {_text(value)}"] if value else []


def _within(first: date | None, last: date | None) -> list[str]:
    since = [f"created_at >= TIMESTAMPTZ '{first:%Y-%m-%d} 00:00:00+00'"] if first is not None else []
    until = [f"created_at < TIMESTAMPTZ '{last:%Y-%m-%d} 00:00:00+00' + INTERVAL 1 DAY"] if last is not None else []
    return since + until


def _is_there(con: Any, tags: str, field: str, value: str) -> bool:
    return not value or con.sql(f"select 1 from {tags} where {field} = {_text(value)} limit 1").to_arrow_table().num_rows > 0


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _names(surfaces: list[str]) -> str:
    return ", ".join(map(_text, surfaces))


def _holding(surfaces: list[str], label: str = "") -> str:
    if not surfaces:
        return "false"
    of_type = f" and e.label = {_text(label)}" if label else ""
    return f"len(list_filter(entities, lambda e: e.text in ({_names(surfaces)}){of_type})) > 0"


def _clause(parts: list[str]) -> str:
    return f" where {' and '.join(parts)}" if parts else ""


def _sentiment(intent: Intent, tags: str, where: list[str], surfaces: list[str]) -> tuple[str, str]:
    sql = (
        "select count(*) as documents, count(*) filter (sentiment = 'negative') as negative, "
        "count(*) filter (sentiment = 'neutral') as neutral, count(*) filter (sentiment = 'positive') as positive, "
        "round(count(*) filter (sentiment = 'negative') / nullif(count(*), 0), 4) as negative_share "
        f"from {tags}{_clause([_holding(surfaces), *where])}"
    )
    return f"documents that name {intent.name}, by sentiment", sql


def _count(intent: Intent, tags: str, where: list[str], surfaces: list[str]) -> tuple[str, str]:
    return (
        f"documents that name {intent.name}",
        f"select count(*) as documents from {tags}{_clause([_holding(surfaces), *where])}",
    )


def _listed(tags: str, where: list[str], label: str, without: list[str]) -> str:
    """Entities by how many documents name them; each spelling counts apart."""
    inner = f"select id, unnest(entities) as entity, row_number() over () as doc from {tags}{_clause(where)}"
    kept = [f"entity.label = {_text(label)}"] if label else []
    kept += [f"entity.text not in ({_names(without)})"] if without else []
    return (
        f"select entity.text as name, entity.label as label, count(distinct doc) as documents from ({inner}){_clause(kept)} "
        f"group by all order by documents desc, name, label limit {ROWS}"
    )


def _together(intent: Intent, tags: str, where: list[str], surfaces: list[str]) -> tuple[str, str]:
    return f"named in documents that name {intent.name}", _listed(tags, [_holding(surfaces), *where], intent.label, surfaces)


def _top(intent: Intent, tags: str, where: list[str], surfaces: list[str]) -> tuple[str, str]:
    return "named in most documents", _listed(tags, where, intent.label, [])


_Maker = Callable[[Intent, str, list[str], list[str]], tuple[str, str]]
_SQL: dict[str, _Maker] = {"sentiment": _sentiment, "count": _count, "together": _together, "top": _top}
