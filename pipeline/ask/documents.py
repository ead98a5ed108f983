"""What stands in the index: the passages of a part's documents, with what they are found by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from models.extras import install
from pipeline.ask.chinese import sounds_of
from pipeline.ask.passages import cut_passages, surroundings
from pipeline.ask.terms import characters_of, terms_of
from pipeline.ask.vectors import VectorWriter
from pipeline.errors import ConfigError
from pipeline.report.name_normalization import normalize_name, normalize_names
from pipeline.timezones import microseconds

# So many folded names are kept from part to part.
NAMES = 200_000
_known: dict[str, str] = {}
COLUMNS = ("id", "source", "created_at", "lang", "sentiment", "entities")


def schema() -> Any:
    """Return tantivy's schema of a passage.

    Raises:
        ConfigError: tantivy is not installed.
    """
    try:
        from tantivy import SchemaBuilder
    except ModuleNotFoundError as error:
        raise ConfigError(f"an index needs the package tantivy: {install('ask')}") from error
    builder = SchemaBuilder()
    for name in ("part", "id", "source", "lang", "sentiment"):
        builder.add_text_field(name, stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("entity", stored=False, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("text", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("terms", stored=False, tokenizer_name="whitespace", index_option="freq")
    for name in ("around", "characters", "sounds"):
        builder.add_text_field(name, stored=False, tokenizer_name="whitespace", index_option="freq")
    builder.add_integer_field("time", stored=True, indexed=True, fast=True)
    builder.add_integer_field("vector", stored=True, indexed=True, fast=True)
    for name in ("start", "row"):
        builder.add_integer_field(name, stored=True)
    return builder.build()


def documents(
    path: str,
    rows: Iterator[tuple[list[dict[str, Any]], list[str]]],
    vectors: VectorWriter,
    check: Callable[[], object] = lambda: None,
) -> Iterator[Any]:
    """Make a document of tantivy of each passage.

    Args:
        path: Of the part.
        rows: Its rows, in order and some at a time: COLUMNS by name, and the texts.
        vectors: Takes in the passages, and numbers them.
        check: Called often; what it raises passes through.

    Yields:
        The documents, in order of the rows and of the places in their texts.
    """
    from tantivy import Document

    row = 0
    for some, texts in rows:
        folded = _folded(some)
        for one, whole in zip(some, texts, strict=True):
            check()
            for start, end in cut_passages(whole):
                text = whole[start:end]
                fields: dict[str, Any] = {
                    "part": path, "id": one["id"], "source": one["source"] or "", "lang": one["lang"], "row": row,
                    "sentiment": one["sentiment"] or "", "start": start, "text": text, "terms": " ".join(terms_of(text)),
                }  # fmt: skip
                if one["created_at"] is not None:
                    fields["time"] = microseconds(one["created_at"])
                fields["around"] = " ".join(terms_of(surroundings(whole, start, end)))
                fields["characters"], fields["sounds"] = " ".join(characters_of(text)), " ".join(sounds_of(text))
                if (number := vectors.add(text, one["lang"], row)) is not None:
                    fields["vector"] = number
                inside = [(e["label"], folded[e["text"]]) for e in one["entities"] if start <= e["start"] < end]
                fields["entity"] = sorted({term for label, name in inside for term in (name, f"{label}:{name}")})
                yield Document(**{key: value if isinstance(value, list) else [value] for key, value in fields.items()})
            row += 1


def _folded(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The folded names of all entities, by how they stand in the texts: new ones in one call, as a call takes milliseconds."""
    names = {one["text"] for row in rows for one in row["entities"]}
    if len(_known) > NAMES:
        _known.clear()
    if new := sorted(names - _known.keys()):
        _known.update(zip(new, normalize_names(pa.array(new, pa.string())).to_pylist(), strict=True))
    return {name: _known[name] for name in names}


def entity_terms(label: str, name: str) -> tuple[str, str]:
    """Return what an entity is found by: its folded name, and its type with it.

    Args:
        label: PER, ORG, LOC or MISC, or a type of the user's own model.
        name: As it stands in the text.
    """
    folded = normalize_name(name)
    return folded, f"{label}:{folded}"
