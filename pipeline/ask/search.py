"""Passages that may answer a question: by their terms (BM25) and their vectors, among those that filters leave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.ask.chinese import sounds_of
from pipeline.ask.documents import entity_terms, schema
from pipeline.ask.fetching import newest_generation
from pipeline.ask.generations import MANIFEST, IndexGeneration, encode, store_of, whole_generations
from pipeline.ask.index import EMBEDDER_NAME, FORMAT, about_of, labels_of
from pipeline.ask.nearest import NearestPassages, fused
from pipeline.ask.terms import characters_of, terms_of
from pipeline.ask.vectors import VectorsOf
from pipeline.errors import ConfigError, OutputError
from pipeline.store.base import Entry, Store
from pipeline.store.open import open_store
from pipeline.store.settings import StoreConfig
from pipeline.timezones import instant, microseconds

# Passages that are looked at of either kind, and how much the fields of terms count.
DEPTH = 50
SHARES = {"terms": 1.0, "around": 1.0, "characters": 0.4, "sounds": 1.0}
# Values that are named of what can be filtered by.
FACETS = 50
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Filters:
    """Which documents may answer; None and "" leave all.

    Attributes:
        source: Source of the document.
        since: First day, UTC.
        until: Last day, that day included, UTC.
        entity: A name, or TYPE:NAME, that stands in the passage.
        sentiment: Class of the document: negative, neutral or positive, or one of the user's own model.
        lang: Language of the document.
    """

    source: str = ""
    since: datetime | None = None
    until: datetime | None = None
    entity: str = ""
    sentiment: str = ""
    lang: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage and where it is from.

    Attributes:
        id: Of its document.
        sentiment: Class of its document, "" if the model has none.
        start: Where it begins in its document, in code points.
        time: Of its document, None without one.
        part: The part that holds its document.
        row: Which of the part's documents it is of.
        bm25: How well its terms fit the question.
        cosine: How near it is to the question, None where there are no vectors.
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
    cosine: float | None = None

    @property
    def score(self) -> float:
        """How well it fits, all in all."""
        return fused(self.bm25, self.cosine)


class PassageIndex:
    """The newest generation of an index, open for reading; `outdated` says when to open the next one.

    Args:
        answers: The index: a store, or a folder of this machine.
        embedder: Name or folder of the embedder that its vectors are of.
        reach: How the output is reached where it is elsewhere; by default as the index is.

    Attributes:
        generation: Its number.
        passages: How many it holds.
        output: The output that it is of.
        types: Types of the entities that it may hold.
        classes: Classes that its documents may have.
        digest: SHA-256 of the generation's manifest, in hex, which names what it holds.

    Raises:
        ConfigError: There is no index, or tantivy is not installed.
        OutputError: The index is not as it should be.
    """

    def __init__(self, answers: Store | Path, embedder: str | Path = EMBEDDER_NAME, reach: StoreConfig | None = None) -> None:
        from tantivy import Index

        self._answers, self._schema = store_of(answers), schema()
        self._reach = reach or self._answers.config
        while (found := newest_generation(self._answers)) is not None:
            generation, path = found
            made, digest = about_of(generation)
            if made != FORMAT:
                what = f"{path} was made by another version"
                raise OutputError(f"{what}; run `textmill index {generation.output} {self._answers.url}`")
            self._seen = self._manifest(generation.number)
            try:
                vectors = VectorsOf.from_json(generation.about["vectors"])
                self._nearest = NearestPassages(path, vectors, embedder) if digest else None
                self._searcher = Index(self._schema, path=str(path), reuse=True).searcher()
            except (OSError, ValueError, OutputError) as error:
                if whole_generations(self._answers)[-1:] != [generation.number]:
                    continue  # it was replaced, and removed, just now
                raise OutputError(f"{path} is no index ({error}); remove it and make the index anew") from error
            self.digest = sha256(encode(generation)).hexdigest()
            self.generation, self.passages, self.output = generation.number, generation.passages, generation.output
            self.types, self.classes = labels_of(generation)
            return
        url = self._answers.url
        raise ConfigError(f"{url}: no index in it; make one with `textmill index OUTPUT {url}`")

    def _manifest(self, number: int) -> Entry | None:
        return self._answers.stat(f"{IndexGeneration(number, '').folder}/{MANIFEST}")

    def outdated(self) -> bool:
        """Whether there is a newer generation, or the index was made anew; asks for two files, and lists nothing."""
        return self._manifest(self.generation + 1) is not None or self._manifest(self.generation) != self._seen

    @cached_property
    def tags(self) -> Store:
        """The output that it is of, for what is counted from the tags.

        Raises:
            ConfigError: What the output's store needs is not installed.
        """
        return open_store(self.output, self._reach)

    @cached_property
    def facets(self) -> dict[str, Any]:
        """What can be filtered by.

        `sources`, `langs`, `sentiments` and `entities` (TYPE:NAME, names folded), each as lists of value and number of passages,
        the most first, at most FACETS.
        """
        found: dict[str, Any] = {"generation": self.generation, "passages": self.passages}
        for name, field in (("sources", "source"), ("langs", "lang"), ("sentiments", "sentiment"), ("entities", "entity")):
            terms = [(term, count) for term, count in self._searcher.terms_with_prefix(field, "") if term]
            if field == "entity":
                terms = [(term, count) for term, count in terms if split_entity(term, self.types)[0]]
            found[name] = self._counted(field, sorted(terms, key=lambda pair: (-pair[1], pair[0])))
        return found

    def _counted(self, field: str, terms: list[tuple[str, int]]) -> list[list[Any]]:
        """The most frequent terms of a field; the counts that are given hold passages that are gone, and so are never too low."""
        from tantivy import Query

        found: list[tuple[int, str]] = []
        for term, most in terms:
            if len(found) >= FACETS and -sorted(found)[FACETS - 1][0] >= most:
                break
            query = Query.term_query(self._schema, field, term, "basic")
            count: int = self._searcher.search(query, 1, count=True).count  # type: ignore[attr-defined]
            if count:
                found.append((-count, term))
        return [[term, -count] for count, term in sorted(found)[:FACETS]]

    def search(self, question: str, most: int = 20, filters: Filters | None = None, spoken: bool = False) -> list[Passage]:
        """Find the passages that fit a question best, by terms and, where the index has vectors in its language, by nearness.

        Args:
            question: The question.
            most: At most so many.
            filters: Which documents may answer.
            spoken: Whether the question was spoken: then Chinese passages are also found by what they sound like.

        Returns:
            The passages, best first; equal ones by part and place. None if the question has no term.

        Raises:
            ConfigError: No document here can have the class that is filtered by.
        """
        found = self._scored(question, max(most, DEPTH), filters, spoken)
        scores = sorted((fused(*fits) for fits in found.values()), reverse=True)
        least = scores[most - 1] if most < len(scores) else -np.inf
        # Documents are unpacked one by one: only those that are given.
        passages = [self._passage(place, *fits) for place, fits in found.items() if fused(*fits) >= least]
        return sorted(passages, key=lambda one: (-one.score, one.part, one.row, one.start))[:most]

    def candidates(self, question: str, depth: int, filters: Filters | None = None, spoken: bool = False) -> list[Passage]:
        """Find the passages among which the best are: those whose terms fit best, and the nearest.

        Args:
            question: The question.
            depth: So many of either kind.
            filters: Which documents may answer.
            spoken: Whether the question was spoken.

        Returns:
            The passages, in no order, each once.

        Raises:
            ConfigError: As for `search`.
        """
        return [self._passage(place, *fits) for place, fits in self._scored(question, depth, filters, spoken).items()]

    def _scored(
        self, question: str, depth: int, filters: Filters | None, spoken: bool
    ) -> dict[tuple[int, int], tuple[float, float | None]]:
        """Candidates by segment and document of tantivy: how well the terms fit, and how near it is."""
        from tantivy import Occur, Query

        terms, wanted = self._terms(question, spoken), self._wanted(filters or Filters())
        if terms is None:
            return {}
        cosines = self._nearest.cosines(question) if self._nearest is not None else None
        found = self._found(Query.boolean_query([(Occur.Must, terms), *wanted]), depth, cosines)
        if self._nearest is not None and cosines is not None:
            near = self._nearest.best(cosines, depth, self._numbers(wanted) if wanted else None)
            if near:
                those = _constant(Query.term_set_query(self._schema, "vector", near))
                found |= self._found(Query.boolean_query([(Occur.Must, those), (Occur.Should, terms)]), len(near), cosines)
        return found

    def _terms(self, question: str, spoken: bool) -> Any:
        """A query for passages that have any term of the question; None if it has none."""
        from tantivy import Occur, Query

        terms = terms_of(question, question=True) or terms_of(question)
        asked = {"terms": terms, "around": terms, "characters": characters_of(question)}
        if spoken:
            asked["sounds"] = sounds_of(question)
        parts = []
        for field, words in asked.items():
            if words:
                any_of = [(Occur.Should, Query.term_query(self._schema, field, word, "freq")) for word in dict.fromkeys(words)]
                parts.append((Occur.Should, Query.boost_query(Query.boolean_query(any_of), SHARES[field])))
        return Query.boolean_query(parts) if parts else None

    def _wanted(self, filters: Filters) -> list[tuple[Any, Any]]:
        """What the filters leave, as clauses of a query."""
        from tantivy import FieldType, Occur, Query

        if filters.sentiment and filters.sentiment not in self.classes:  # it would leave none, as if nothing answered
            raise ConfigError(f"no sentiment {filters.sentiment!r}; there are {', '.join(self.classes) or 'none here'}")
        wanted = []
        for field in ("source", "sentiment", "lang"):
            if value := getattr(filters, field):
                wanted.append((Occur.Must, _constant(Query.term_query(self._schema, field, value, "basic"))))
        if filters.entity:
            label, name = split_entity(filters.entity, self.types)
            term = entity_terms(label, name)[1 if label else 0]
            wanted.append((Occur.Must, _constant(Query.term_query(self._schema, "entity", term, "basic"))))
        if filters.since is not None or filters.until is not None:
            low = microseconds(filters.since) if filters.since is not None else None
            high = microseconds(filters.until) + DAY_US - 1 if filters.until is not None else None
            wanted.append((Occur.Must, _constant(Query.range_query(self._schema, "time", FieldType.Integer, low, high))))
        return wanted

    def _numbers(self, wanted: list[tuple[Any, Any]]) -> npt.NDArray[np.int64]:
        """Numbers of the vectors that the filters leave."""
        from tantivy import Query

        most = max(1, self._searcher.num_docs)
        hits = self._searcher.search(Query.boolean_query(wanted), most, count=False, order_by_field="vector").hits
        return np.array([number for number, _ in hits if number is not None], np.int64)

    def _found(
        self, query: Any, most: int, cosines: npt.NDArray[np.float64] | None
    ) -> dict[tuple[int, int], tuple[float, float | None]]:
        hits = self._searcher.search(query, most, count=False).hits
        addresses = [address for _, address in hits]
        near: list[float | None] = [None] * len(hits)
        if self._nearest is not None and cosines is not None:
            numbers = self._searcher.fast_field_values("vector", addresses)
            near = [self._nearest.of(cosines, None if number is None else int(number)) for number in numbers]
        places = [(address.segment_ord, address.doc) for address in addresses]
        return {place: (float(bm25), cosine) for place, (bm25, _), cosine in zip(places, hits, near, strict=True)}

    def _passage(self, place: tuple[int, int], bm25: float, cosine: float | None) -> Passage:
        from tantivy import DocAddress

        one = self._searcher.doc(DocAddress(*place)).to_dict()
        time = one.get("time")
        when = instant(time[0]) if time else None
        text, start, row = one["text"][0], int(one["start"][0]), int(one["row"][0])
        source, lang, sentiment = one["source"][0], one["lang"][0], one["sentiment"][0]
        return Passage(one["id"][0], text, start, source, when, lang, sentiment, one["part"][0], row, bm25, cosine)


def _constant(query: Any) -> Any:
    """A filter says nothing of how well a passage fits."""
    from tantivy import Query

    return Query.const_score_query(query, 0.0)


def split_entity(entity: str, types: Iterable[str]) -> tuple[str, str]:
    """Split what an entity is called by.

    Args:
        entity: NAME or TYPE:NAME; a colon behind anything else is part of the name.
        types: The types that there are.

    Returns:
        Its type, "" for any, and its name.
    """
    label = max((one for one in types if entity.startswith(f"{one}:")), key=len, default="")
    return label, entity.removeprefix(f"{label}:") if label else entity


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
