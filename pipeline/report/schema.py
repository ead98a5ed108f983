"""The tables of a report, as Arrow schemas: what every column means is in its field's metadata."""

from __future__ import annotations

import pyarrow as pa


def _field(name: str, kind: pa.DataType, doc: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"doc": doc})


_TEXT, _COUNT, _REAL = pa.string(), pa.int64(), pa.float64()
_DAY, _HOUR = pa.date32(), pa.timestamp("us", tz="UTC")
_MEAN = "mean over documents of P(positive) - P(negative), from -1 to 1; summed in millionths, so that order does not matter"
# 0 would say that none of them is negative.
_ELSE = "null: documents have other classes, or none"
_MOODS = [
    _field("negative", _COUNT, f"documents whose sentiment is negative; {_ELSE}", nullable=True),
    _field("neutral", _COUNT, f"documents whose sentiment is neutral; {_ELSE}", nullable=True),
    _field("positive", _COUNT, f"documents whose sentiment is positive; {_ELSE}", nullable=True),
    _field("mean_sentiment", _REAL, f"{_MEAN}; {_ELSE}", nullable=True),
]
_NAME = _field("name", _TEXT, "the entity's name, folded: see pipeline.report.name_normalization")
_SHOWN = _field("shown", _TEXT, "its most frequent spelling in the report's days; of equals the first in code point order")
_LABEL = _field("label", _TEXT, "its most frequent label: PER, ORG, LOC or MISC, or a type of the user's own model")
_RISING = [
    _field("documents", _COUNT, "documents of the report's days that hold it"),
    _field("before", _COUNT, "documents of the trailing days that hold it"),
    _field("expected", _REAL, "documents that would hold it if its share were that of all the days together"),
    _field("ratio", _REAL, "its share of now over that of before, 0.5 added to each count, 1 to each number of documents"),
    _field("g2", _REAL, "log-likelihood ratio of the 2x2 table (Dunning 1993); 15.13 is p < 0.0001 at one degree of freedom"),
]


_NPMI = "normalised pointwise mutual information, ln(lift) / -ln P(a, b), from -1 to 1 (Bouma 2009)"


def tables_of(zone: str) -> dict[str, pa.Schema]:
    """Return the Arrow schemas of a report's tables, by name.

    Args:
        zone: IANA time zone of the report's days; the descriptions of columns name it.
    """
    hours = "UTC" if zone == "UTC" else f"that of {zone}, as an instant in UTC"
    return {
        "sentiment": pa.schema(
            [
                _field("hour", _HOUR, f"begin of the hour, {hours}; null: the document has no time", nullable=True),
                _field("source", _TEXT, "the document's source, or null", nullable=True),
                _field("lang", _TEXT, "en, zh or und"),
                _field("documents", _COUNT, "documents tagged; negative + neutral + positive, where these are counted"),
                *_MOODS,
            ]
        ),
        "classes": pa.schema(
            [
                _field("day", _DAY, f"{zone}; null: the documents have no time", nullable=True),
                _field("source", _TEXT, "the documents' source, or null", nullable=True),
                _field("lang", _TEXT, "en, zh or und"),
                _field("class", _TEXT, "negative, neutral or positive, or a class of the user's own model"),
                _field("documents", _COUNT, "documents of this class; there are no rows where the model has no classes"),
            ]
        ),
        "entities": pa.schema(
            [
                _field("day", _DAY, f"{zone}; null: the document has no time", nullable=True),
                _NAME, _SHOWN, _LABEL,
                _field("mentions", _COUNT, "how often it is named"),
                _field("documents", _COUNT, "documents that name it"),
                *_MOODS,
                _field("negative_share", _REAL, f"negative / documents; {_ELSE}", nullable=True),
            ]
        ),
        "pairs": pa.schema(
            [
                _field("name_a", _TEXT, "the first name, folded; name_a < name_b in code point order"),
                _field("name_b", _TEXT, "the second name, folded"),
                _field("shown_a", _TEXT, "the first one's most frequent spelling"),
                _field("shown_b", _TEXT, "the second one's most frequent spelling"),
                _field("documents", _COUNT, "documents that name both; 2 or more"),
                _field("documents_a", _COUNT, "documents that name the first"),
                _field("documents_b", _COUNT, "documents that name the second"),
                _field("lift", _REAL, "P(a, b) / (P(a) P(b)); 1: as often as by chance"),
                _field("npmi", _REAL, _NPMI),
            ]
        ),
        "rising_entities": pa.schema([_NAME, _SHOWN, _LABEL, *_RISING]),
        "rising_terms": pa.schema(
            [
                _field("lang", _TEXT, "en, zh or und"),
                _field("pos", _TEXT, "universal part of speech"),
                _field("term", _TEXT, "the word, folded"),
                *_RISING,
            ]
        ),
        "terms": pa.schema(
            [
                _field("lang", _TEXT, "en, zh or und"),
                _field("pos", _TEXT, "universal part of speech: NOUN, PROPN, VERB, ADJ, ADV"),
                _field("term", _TEXT, "the word, folded; no stop words (spaCy's lists), nothing without a letter"),
                _field("mentions", _COUNT, "how often it stands there"),
                _field("documents", _COUNT, "documents that hold it"),
            ]
        ),
        "examples": pa.schema(
            [
                _NAME,
                _field("id", _TEXT, "a document that names it: of the names that the page shows, the latest three"),
                _field("source", _TEXT, "the document's source, or null", nullable=True),
                _field("created_at", _HOUR, "the document's time, or null", nullable=True),
                _field("sentiment", _TEXT, "the document's sentiment or class; null: the model has no classes", nullable=True),
            ]
        ),
        "volumes": pa.schema(
            [
                _field("day", _DAY, f"{zone}, trailing days included; null: the documents have no time", nullable=True),
                _field("source", _TEXT, "the documents' source, or null", nullable=True),
                _field("lang", _TEXT, "en, zh or und"),
                _field("documents", _COUNT, "documents tagged"),
                *_MOODS,
            ]
        ),
        "outcomes": pa.schema(
            [
                _field("part", _TEXT, "part of the output: one that holds a document of these days, or none with a time at all"),
                _field("run", _TEXT, "the run that made it"),
                _field("outcome", _TEXT, "tagged, dead_letter or filtered"),
                _field("reason", _TEXT, "why: see pipeline.contract.REASONS; null where it was tagged", nullable=True),
                _field("documents", _COUNT, "tagged: documents of these days; else all of the part, since they have no day"),
            ]
        ),
    }  # fmt: skip


TABLES = tables_of("UTC")
