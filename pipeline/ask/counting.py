"""Questions that are counted and not read: how negative something is, what is named with it, what is named most.

A small grammar finds what is meant, in English and Chinese. What it does not know is left to the reader. The answer is a table
that DuckDB counts from the tags, with the SQL that counted it: whoever doubts it can run that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.ask.search import Filters, split_entity
from pipeline.ask.tags_database import tags_database
from pipeline.errors import ConfigError
from pipeline.report.name_normalization import normalize_name, normalize_names
from pipeline.sink.layout import TAGS

ROWS = 10
# What kinds of entities are called.
KINDS = {
    "PER": ("people", "persons", "person", "names", "人物", "人"),
    "ORG": ("companies", "company", "organizations", "organisations", "firms", "公司", "机构", "企业"),
    "LOC": ("places", "place", "countries", "cities", "locations", "地方", "地点", "国家", "城市"),
}
_KIND = "|".join(sorted((word for words in KINDS.values() for word in words), key=len, reverse=True))
_DOCUMENTS = "documents|posts|articles|stories|texts|messages"
_NAMED = "named|mentioned|talked about"


@dataclass(frozen=True, slots=True)
class Intent:
    """What a question wants counted.

    Attributes:
        what: sentiment, together, top or count.
        name: The entity that it is about, "" for none.
        label: Type of the entities that are listed, "" for all.
    """

    what: str
    name: str = ""
    label: str = ""


_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (what, re.compile(pattern, re.IGNORECASE))
    for what, pattern in (
        (
            "sentiment",
            r"how (?:negative|positive|good|bad)(?:ly)? (?:is|are|was|were) (?P<name>.+?)(?: (?:seen|talked about|described))?",
        ),
        ("sentiment", r"what is the sentiment (?:on|of|about|towards?) (?P<name>.+)"),
        ("sentiment", r"(?P<name>.+?)(?:有多|多么)(?:负面|正面|消极|积极)"),
        ("sentiment", r"(?:大家)?对(?P<name>.+?)的(?:情感|情绪|态度|看法)(?:如何|怎么样|怎样)"),
        ("together", rf"(?:which|what) (?P<kind>{_KIND}) (?:is|are|was|were) (?:{_NAMED}) (?:together )?with (?P<name>.+)"),
        ("together", rf"(?:和|与|跟)(?P<name>.+?)一起(?:被)?(?:提到|出现)的(?P<kind>{_KIND})(?:有哪些|是哪些|是谁)"),
        ("top", rf"(?:what|which|who) (?:is|are|were|was) the (?:most (?:{_NAMED})|top) (?P<kind>{_KIND})"),
        ("top", rf"(?:the )?(?:most (?:{_NAMED})|top) (?P<kind>{_KIND})"),
        ("top", rf"(?:which|what) (?P<kind>{_KIND}) (?:is|are|was|were) (?:{_NAMED}) (?:most|most often)"),
        ("top", rf"(?:被)?(?:提到|提及)最多的(?P<kind>{_KIND})(?:有哪些|是哪些|是谁|是什么)?"),
        ("count", rf"how many (?:{_DOCUMENTS}) (?:mention|name|are about|talk about) (?P<name>.+)"),
        ("count", r"有?多少(?:篇|条|个)?(?:文章|帖子|微博|文档|新闻)?(?:提到|提及)(?:了)?(?P<name>.+)"),
    )
)


def intent_of(question: str) -> Intent | None:
    """Find what a question wants counted.

    Args:
        question: In English or Chinese.

    Returns:
        What it wants; None where the grammar does not know it: then it is to be read.
    """
    plain = question.strip().rstrip("?!.\uff1f\uff01\u3002 ").strip()
    for what, pattern in _PATTERNS:
        if (match := pattern.fullmatch(plain)) is not None:
            groups = match.groupdict()
            kind = (groups.get("kind") or "").lower()
            label = next((label for label, words in KINDS.items() if kind in words), "")
            return Intent(what, (groups.get("name") or "").strip(" \"'"), label)
    return None


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


def count_answer(intent: Intent, output: str, filters: Filters | None = None) -> CountedAnswer | None:
    """Count what a question wants from the tags of an output.

    Args:
        intent: What it wants.
        output: Folder of the output, on this machine.
        filters: Which documents count.

    Returns:
        The table; None if the entity that it is about is named nowhere here: then the question is to be read.

    Raises:
        ConfigError: The output is not on this machine.
        OutputError: Its tags cannot be counted.
    """
    if "://" in output:
        raise ConfigError(f"{output}: counting needs an output on this machine")
    tags = f"read_parquet({_text(str(Path(output) / TAGS / '*.parquet'))}, hive_partitioning = false)"
    filters = filters or Filters()
    where = _where(filters)
    with tags_database(output) as con:
        if filters.entity:
            label, name = split_entity(filters.entity)
            where.append(_holding(_surfaces(con, tags, normalize_name(name)), label))
        surfaces: list[str] = []
        if intent.name:
            surfaces = _surfaces(con, tags, normalize_name(intent.name))
            if not surfaces:
                return None
        title, sql = _SQL[intent.what](intent, tags, where, surfaces)
        return CountedAnswer(title, con.sql(sql).to_arrow_table(), sql)


def _surfaces(con: Any, tags: str, name: str) -> list[str]:
    """The ways in which a folded name is written."""
    found = con.sql(f"select distinct unnest(entities).text as surface from {tags} order by 1").to_arrow_table()["surface"]
    folded = normalize_names(found.combine_chunks())
    return [surface for surface, one in zip(found.to_pylist(), folded.to_pylist(), strict=True) if one == name]


def _where(filters: Filters) -> list[str]:
    found = [f"{field} = {_text(value)}" for field in ("source", "sentiment", "lang") if (value := getattr(filters, field))]
    if filters.since is not None:
        found.append(f"created_at >= TIMESTAMPTZ '{filters.since:%Y-%m-%d} 00:00:00+00'")
    if filters.until is not None:
        found.append(f"created_at < TIMESTAMPTZ '{filters.until:%Y-%m-%d} 00:00:00+00' + INTERVAL 1 DAY")
    return found


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
        "round(count(*) filter (sentiment = 'negative') / count(*), 4) as negative_share "
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
