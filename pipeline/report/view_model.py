"""What the page shows, out of the sums and the tables: plain numbers and names, not yet in any language or form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np

from pipeline.report.aggregate import MICRO
from pipeline.report.classes import are_moods
from pipeline.report.reconciliation import Health
from pipeline.report.sums import count_of
from pipeline.report.window import ReportWindow
from pipeline.report.words import CLASSES
from pipeline.timezones import EPOCH, hours, instant, zone_of

SOURCES = 8
TOP, PAIRS, TERMS = 15, 15, 12
# Up to so many days the chart goes by hour, by day, by month; beyond by year.
HOURLY_DAYS, DAILY_DAYS, MONTHLY_DAYS = 2, 100, 3_700


@dataclass(frozen=True, slots=True)
class SentimentCounts:
    """Documents, how many of them have which sentiment, and the sum of their scores; all but the first 0 where there is none.

    Attributes:
        documents: Number of documents.
        negative: Documents whose sentiment is negative.
        neutral: Documents whose sentiment is neutral.
        positive: Documents whose sentiment is positive.
        score: Sum of P(positive) - P(negative) over the documents, in millionths.
    """

    documents: int = 0
    negative: int = 0
    neutral: int = 0
    positive: int = 0
    score: int = 0

    @property
    def mean(self) -> float:
        """Mean score of a document, -1 to 1; 0 without documents."""
        return self.score / MICRO / self.documents if self.documents else 0.0

    @property
    def negative_share(self) -> float:
        """Share of negative documents, 0 to 1; 0 without documents."""
        return self.negative / self.documents if self.documents else 0.0

    def __add__(self, other: SentimentCounts) -> SentimentCounts:
        return SentimentCounts(
            self.documents + other.documents, self.negative + other.negative, self.neutral + other.neutral,
            self.positive + other.positive, self.score + other.score,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class EntityRow:
    """A name on the page.

    Attributes:
        name: The folded name.
        shown: Its most frequent spelling.
        label: Its most frequent label: PER, ORG, LOC or MISC, or a type of the user's own model.
        mentions: How often it is named in the report's days.
        mood: Documents of the report's days that name it.
        examples: Id, source, time and class (None without one) of the latest documents that name it, the latest first.
        before: Documents of the trailing days that name it; 0 if it has not risen.
        expected: Documents that were to be expected to name it; None if it has not risen.
        ratio: Share of now over share of before; None if it has not risen.
        g2: Log-likelihood ratio of its rise; None if it has not risen.
        days: Documents that name it by day, trailing days first; empty where `ReportFacts.days` is.
    """

    name: str
    shown: str
    label: str
    mentions: int
    mood: SentimentCounts
    examples: tuple[tuple[str, str | None, datetime | None, str | None], ...] = ()
    before: int = 0
    expected: float | None = None
    ratio: float | None = None
    g2: float | None = None
    days: tuple[int, ...] = ()


@dataclass(slots=True)
class ReportFacts:
    """All that the page says.

    Attributes:
        window: Days of the report.
        title: Name of the output's folder.
        span: First and last day of the report, of a report of everything those that documents are of; None if none has a time.
        total: Documents of the report's days.
        before: Documents of the trailing days.
        undated: Documents of the report without a time.
        names: Number of different names.
        mentions: How often any of them is named.
        bucket: What a bucket of the chart is: hour, day, month or year.
        buckets: Beginning of each bucket of the chart, by its key: microseconds since 1970 for hours, else its first date.
        sources: Each source with its documents of the report's days and of the trailing ones, the most frequent first.
        sources_more: How many sources more there are.
        series: Documents in each bucket, by source, for the most frequent sources.
        whole: Documents in each bucket, of all sources.
        days: Documents by day, trailing days first; empty if there are too many days to be shown one by one.
        empty_days: Trailing days without documents, as far as `days` has them.
        langs: Languages and their documents, the most frequent first.
        entities: Names of the page, the most frequent first.
        rising: Names that rise, the highest G2 first.
        rising_terms: First rows of the table `rising_terms`.
        pairs: Most frequent rows of the table `pairs` whose NPMI is above 0.
        terms: Most frequent terms and their documents, by language and part of speech.
        terms_absent: Why there are no terms, as a key of the page's texts; None if there are some.
        health: The runs behind the report, and whether their counts agree.
        reasons: Reasons why documents were left out and how many were, the most frequent first, by outcome.
        rows: Rows of each table of the report, by name.
        moods: Whether documents have a sentiment; else nothing that is counted of it means anything.
        classes: Classes that are no sentiment and their documents, the most frequent first.
    """

    window: ReportWindow
    title: str
    span: tuple[date, date] | None
    total: SentimentCounts
    before: SentimentCounts
    undated: int
    names: int
    mentions: int
    bucket: str = "hour"
    buckets: dict[int | date, datetime] = field(default_factory=dict)
    sources: list[tuple[str | None, SentimentCounts, SentimentCounts]] = field(default_factory=list)
    sources_more: int = 0
    series: dict[str | None, list[SentimentCounts]] = field(default_factory=dict)
    whole: list[SentimentCounts] = field(default_factory=list)
    days: list[tuple[date, SentimentCounts]] = field(default_factory=list)
    empty_days: list[date] = field(default_factory=list)
    langs: list[tuple[str, int]] = field(default_factory=list)
    entities: list[EntityRow] = field(default_factory=list)
    rising: list[EntityRow] = field(default_factory=list)
    rising_terms: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[dict[str, Any]] = field(default_factory=list)
    terms: dict[str, dict[str, list[tuple[str, int]]]] = field(default_factory=dict)
    terms_absent: str | None = None
    health: Health = field(default_factory=Health)
    reasons: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    moods: bool = True
    classes: list[tuple[str, int]] = field(default_factory=list)


_MOOD = "sum(documents)::BIGINT, sum(negative)::BIGINT, sum(neutral)::BIGINT, sum(positive)::BIGINT, sum(score)::BIGINT"


def facts_of(
    con: Any,
    window: ReportWindow,
    title: str,
    tables: Mapping[str, Any],
    health: Health,
    absent: str | None,
    classes: Sequence[str],
) -> ReportFacts:
    """Gather all that the page says, except `rows`.

    Args:
        con: DuckDB connection, after `tables.prepare` and the second pass.
        window: Days of the report.
        title: Title of the page.
        tables: The Arrow tables `rising_entities`, `rising_terms`, `pairs` and `examples`, by name.
        health: Runs behind the report, and whether their counts agree.
        absent: Why there are no terms, as a key of the page's texts; None if there are some.
        classes: Classes that documents may have.

    Returns:
        The facts; `rows` is left to the caller.
    """
    found = _head(con, window, title)
    found.health, found.terms_absent, found.moods = health, absent, are_moods(classes)
    if not found.moods:
        held = dict(con.execute("select class, sum(documents)::BIGINT from classes group by 1").fetchall())
        found.classes = sorted(((name, held.get(name, 0)) for name in classes), key=lambda pair: -pair[1])
    _times(con, found)
    _sources(con, found)
    _entities(con, found, tables)
    risen = tables["rising_terms"]  # by language; of all of them the most surprising
    found.rising_terms = risen.take(np.argsort(-risen["g2"].to_numpy(), kind="stable")[:TOP]).to_pylist()
    together = tables["pairs"].filter(tables["pairs"]["npmi"].to_numpy() > 0) if tables["pairs"].num_rows else tables["pairs"]
    found.pairs = together.slice(0, PAIRS).to_pylist()
    for lang, _ in found.langs:
        of = {name: _terms(con, lang, name) for name in CLASSES}
        if any(of.values()):
            found.terms[lang] = of
    reasons: dict[str, dict[str, int]] = {}
    for _, _, outcome, reason, rows in health.outcomes:
        if reason is not None:
            of_outcome = reasons.setdefault(outcome, {})
            of_outcome[reason] = of_outcome.get(reason, 0) + rows
    found.reasons = {
        outcome: sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])) for outcome, counts in sorted(reasons.items())
    }
    return found


def _head(con: Any, window: ReportWindow, title: str) -> ReportFacts:
    now, before = (_mood(con.execute(f"select {_MOOD} from hours where current = {c}").fetchall()[0]) for c in (True, False))
    low, high = con.execute("select min(day), max(day) from hours where current").fetchall()[0]
    span = None if low is None else (_date(low), _date(high))
    if window.first is not None and window.last is not None:
        span = (window.first, window.last)
    undated = count_of(con, "select sum(documents) from hours where current and hour is null")
    names = count_of(con, "select count(*) from total")
    mentions = count_of(con, "select sum(mentions) from total")
    return ReportFacts(window, title, span, now, before, undated, names, mentions)


def _times(con: Any, found: ReportFacts) -> None:
    """The buckets of the chart and of each day; days without documents have their place too."""
    if found.span is None:
        return
    first, last = found.span
    count = (last - first).days + 1
    limits = [(HOURLY_DAYS, "hour"), (DAILY_DAYS, "day"), (MONTHLY_DAYS, "month")]
    found.bucket = next((name for most, name in limits if count <= most), "year")
    window = found.window
    if found.bucket == "hour":
        zone = zone_of(window.zone)
        begins = hours(zone, window.begin_us(first), window.begin_us(last + timedelta(1)))
        found.buckets = {begin: instant(begin).astimezone(zone) for begin in begins}
    else:
        days = window.between(first, last) if found.bucket == "day" else []
        months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month) if found.bucket == "month" else []
        years = range(first.year, last.year + 1) if found.bucket == "year" else []
        starts = [*days, *(date(m // 12, m % 12 + 1, 1) for m in months), *(date(year, 1, 1) for year in years)]
        found.buckets = {start: datetime.combine(start, time(), UTC) for start in starts}
    begin = window.trailing[0] if window.trailing else first
    if (last - begin).days < DAILY_DAYS * 2:
        rows = con.execute(f"select day, {_MOOD} from hours where day is not null group by 1").fetchall()
        by_day = {_date(row[0]): _mood(row[1:]) for row in rows}
        found.days = [(day, by_day.get(day, SentimentCounts())) for day in window.between(begin, last)]
        found.empty_days = [day for day, mood in found.days if not mood.documents and day < first]


def _sources(con: Any, found: ReportFacts) -> None:
    rows = con.execute(f"""select source, {_MOOD} from hours where current group by source
        order by sum(documents) desc, source nulls last""").fetchall()
    earlier = dict(
        (row[0], _mood(row[1:]))
        for row in con.execute(f"select source, {_MOOD} from hours where not current group by source").fetchall()
    )
    every = [(row[0], _mood(row[1:]), earlier.get(row[0], SentimentCounts())) for row in rows]
    found.sources, found.sources_more = every[: SOURCES * 3], max(0, len(every) - SOURCES * 3)
    found.langs = con.execute(
        "select lang, sum(documents)::BIGINT from hours where current group by 1 order by 2 desc, 1"
    ).fetchall()
    unit = "hour" if found.bucket == "hour" else "day"
    index = {key: number for number, key in enumerate(found.buckets)}
    found.whole = [SentimentCounts()] * len(index)
    shown = [source for source, _, _ in every[:SOURCES]]
    found.series = {source: [SentimentCounts()] * len(index) for source in shown}
    sql = f"select {unit}, source, {_MOOD} from hours where current and hour is not null group by 1, 2"
    for value, source, *mood in con.execute(sql).fetchall():
        number = index[value if found.bucket == "hour" else _start(_date(value), found.bucket)]
        found.whole[number] = found.whole[number] + _mood(mood)
        if source in found.series:
            found.series[source][number] = found.series[source][number] + _mood(mood)


def _entities(con: Any, found: ReportFacts, tables: Mapping[str, Any]) -> None:
    examples: dict[str, list[tuple[str, str | None, datetime | None, str | None]]] = {}
    for row in tables["examples"].to_pylist():
        when = row["created_at"] and row["created_at"].astimezone(zone_of(found.window.zone))
        examples.setdefault(row["name"], []).append((row["id"], row["source"], when, row["sentiment"]))
    risen = {row["name"]: row for row in tables["rising_entities"].to_pylist()}
    rows = con.execute("""select name, spelling.shown, label, mentions, documents, negative, neutral, positive, score from total
        join spelling using (name) join chosen c using (name) where c.shown order by documents desc, name""").fetchall()
    series = _by_day(con, found, [row[0] for row in rows])
    for name, shown, label, mentions, *mood in rows:
        one = risen.get(name, {})
        facts = {key: one.get(key) for key in ("expected", "ratio", "g2")}
        some, before, days = tuple(examples.get(name, ())), one.get("before", 0), series.get(name, ())
        found.entities.append(EntityRow(name, shown, label, mentions, _mood(mood), some, before, days=days, **facts))
    by_name = {one.name: one for one in found.entities}
    found.rising = [by_name[name] for name in list(risen)[:TOP]]


def _by_day(con: Any, found: ReportFacts, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    if not found.days:
        return {}
    sql = """select name, day, sum(documents)::BIGINT from names join chosen c using (name)
        where c.shown and day is not null group by 1, 2"""
    index = {day: number for number, (day, _) in enumerate(found.days)}
    out = {name: [0] * len(found.days) for name in names}
    for name, day, documents in con.execute(sql).fetchall():
        out[name][index[_date(day)]] = documents
    return {name: tuple(days) for name, days in out.items()}


def _terms(con: Any, lang: str, pos: str) -> list[tuple[str, int]]:
    sql = """select term, documents from terms where current and lang = ? and pos = ?
        order by documents desc, mentions desc, term limit ?"""
    rows: list[tuple[str, int]] = con.execute(sql, [lang, pos, TERMS]).fetchall()
    return rows


def _mood(row: Sequence[int | None]) -> SentimentCounts:
    return SentimentCounts(*(value or 0 for value in row))


def _date(day: int) -> date:
    return EPOCH.date() + timedelta(day)


def _start(day: date, bucket: str) -> date:
    """The first day of the bucket that a day is in."""
    return day.replace(month=1, day=1) if bucket == "year" else day.replace(day=1) if bucket == "month" else day
