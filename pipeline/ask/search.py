"""Passages that may answer a question: by their terms (BM25), among those that filters leave."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from models.runtime.labels import SENTIMENTS
from models.runtime.package import sha256
from pipeline.ask.index import MANIFEST, entity_terms, generations, manifest_of, schema
from pipeline.ask.terms import terms_of
from pipeline.errors import ConfigError
from pipeline.timezones import instant, microseconds

# Values that are named of what can be filtered by.
FACETS = 50
ENTITY_TYPES = ("PER", "ORG", "LOC", "MISC")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which documents may answer; None and "" leave all.

    Attributes:
        source: Source of the document.
        since: First day, UTC.
        until: Last day, that day included, UTC.
        entity: A name, or TYPE:NAME, that stands in the passage.
        sentiment: negative, neutral or positive.
        lang: Language of the document.

    Raises:
        ConfigError: There is no such sentiment.
    """

    source: str = ""
    since: datetime | None = None
    until: datetime | None = None
    entity: str = ""
    sentiment: str = ""
    lang: str = ""

    def __post_init__(self) -> None:
        """Refuse a sentiment that no document can have: it would leave none, as if nothing answered."""
        if self.sentiment and self.sentiment not in SENTIMENTS:
            raise ConfigError(f"no sentiment {self.sentiment!r}; there are {', '.join(SENTIMENTS)}")


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage and where it is from.

    Attributes:
        id: Of its document.
        start: Where it begins in its document, in code points.
        time: Of its document, None without one.
        part: The part that holds its document.
        row: Which of the part's documents it is of.
        bm25: How well its terms fit the question.
    """

    id: str
    text: str
    start: int
    source: str
    time: datetime | None
    lang: str
    sentiment: str
    part: str
    row: int
    bm25: float


class PassageIndex:
    """The newest generation of an index, open for reading; `refresh` looks for a newer one.

    Args:
        folder: Of the index.

    Attributes:
        generation: Its number.
        passages: How many it holds.
        output: The output that it is of.
        digest: SHA-256 of the generation's manifest, in hex, which names what it holds.

    Raises:
        ConfigError: There is no index, or tantivy is not installed.
        OutputError: The index is not as it should be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.generation = 0
        if not self.refresh():
            raise ConfigError(f"{folder}: no index in it; make one with `textmill index OUTPUT {folder}`")

    def refresh(self) -> bool:
        """Open the newest generation, if it is not open.

        Returns:
            Whether another one is open now.
        """
        from tantivy import Index

        whole = generations(self._folder)
        if not whole or whole[-1][0] == self.generation:
            return False
        self._schema = schema()
        number, path = whole[-1]
        manifest = manifest_of(path)
        self._searcher = Index(self._schema, path=str(path), reuse=True).searcher()
        self.digest = sha256(path / MANIFEST)
        self.generation, self.passages, self.output = number, int(manifest["passages"]), str(manifest["output"])
        return True

    def outdated(self) -> bool:
        """Whether there is a newer generation."""
        whole = generations(self._folder)
        return bool(whole) and whole[-1][0] != self.generation

    def facets(self) -> dict[str, Any]:
        """Count what can be filtered by.

        Returns:
            `sources`, `langs`, `sentiments` and `entities` (TYPE:NAME, names folded), each as lists of value and number of
            passages, the most first, at most FACETS.
        """
        found: dict[str, Any] = {"generation": self.generation, "passages": self.passages}
        for name, field in (("sources", "source"), ("langs", "lang"), ("sentiments", "sentiment"), ("entities", "entity")):
            terms = [(term, count) for term, count in self._searcher.terms_with_prefix(field, "") if term]
            if field == "entity":
                terms = [(term, count) for term, count in terms if term.partition(":")[0] in ENTITY_TYPES]
            terms.sort(key=lambda pair: (-pair[1], pair[0]))
            found[name] = [list(pair) for pair in terms[:FACETS]]
        return found

    def search(self, question: str, most: int = 20, filters: Filters | None = None) -> list[Passage]:
        """Find the passages whose terms fit a question best.

        Args:
            question: The question.
            most: At most so many.
            filters: Which documents may answer.

        Returns:
            The passages, best first; equal ones by part and place. None if the question has no term.
        """
        query = self._query(question, filters or Filters())
        if query is None:
            return []
        found = [(score, self._passage(address, score)) for score, address in self._searcher.search(query, most).hits]
        return [passage for _, passage in sorted(found, key=lambda pair: (-pair[0], pair[1].part, pair[1].row, pair[1].start))]

    def _query(self, question: str, filters: Filters) -> Any:
        from tantivy import FieldType, Occur, Query

        counts = Counter(terms_of(question, question=True)) or Counter(terms_of(question))
        if not counts:
            return None
        any_term = Query.boolean_query([(Occur.Should, Query.term_query(self._schema, "terms", term, "freq")) for term in counts])
        wanted = [(Occur.Must, any_term)]
        for field in ("source", "sentiment", "lang"):
            if value := getattr(filters, field):
                wanted.append((Occur.Must, _constant(Query.term_query(self._schema, field, value, "basic"))))
        if filters.entity:
            label, colon, name = filters.entity.partition(":")
            term = entity_terms(label, name)[1] if colon else entity_terms("", filters.entity)[0]
            wanted.append((Occur.Must, _constant(Query.term_query(self._schema, "entity", term, "basic"))))
        if filters.since is not None or filters.until is not None:
            low = microseconds(filters.since) if filters.since is not None else None
            high = microseconds(filters.until + timedelta(1)) - 1 if filters.until is not None else None
            wanted.append((Occur.Must, _constant(Query.range_query(self._schema, "time", FieldType.Integer, low, high))))
        return Query.boolean_query(wanted)

    def _passage(self, address: Any, score: float) -> Passage:
        one = self._searcher.doc(address).to_dict()
        time = one.get("time")
        when = instant(time[0]) if time else None
        text, start, row = one["text"][0], int(one["start"][0]), int(one["row"][0])
        source, lang, sentiment = one["source"][0], one["lang"][0], one["sentiment"][0]
        return Passage(one["id"][0], text, start, source, when, lang, sentiment, one["part"][0], row, float(score))


def _constant(query: Any) -> Any:
    """A filter says nothing of how well a passage fits."""
    from tantivy import Query

    return Query.const_score_query(query, 0.0)


def day(written: str) -> datetime:
    """Read a day.

    Args:
        written: As 2026-11-22.

    Returns:
        Its beginning, UTC.

    Raises:
        ConfigError: It is none.
    """
    try:
        return datetime.strptime(written, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise ConfigError(f"{written!r} is no day; write it as 2026-11-22") from error
