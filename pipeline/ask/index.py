"""The index of passages: immutable generations in a folder, each made of the one before and what has changed in the output.

A generation is a tantivy index, vectors of its passages (`vectors.py`) and `manifest.json`, which says which parts are in it, by
their attempts. It is made in `building` and gets its name, `g000001` and so on, when it is whole: by one rename. Whoever reads
looks for the highest number. A killed build is begun anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.runtime.embedder import load_embedder
from models.runtime.package import EMBEDDER, open_package
from pipeline.ask.chinese import sounds_of
from pipeline.ask.passages import cut_passages, surroundings
from pipeline.ask.terms import characters_of, terms_of
from pipeline.ask.vectors import VectorsOf, VectorWriter
from pipeline.errors import ConfigError, OutputError
from pipeline.faults import point
from pipeline.report.name_normalization import normalize_name
from pipeline.sink.attempt import read_footer
from pipeline.sink.layout import TAGS
from pipeline.store.base import Store
from pipeline.store.local import LocalStore
from pipeline.store.parquet import batches, parquet_file
from pipeline.timezones import microseconds

MANIFEST, BUILDING, CLAIM = "manifest.json", "building", "_claim"
# Of the schema and the terms: an index of another format is made anew.
FORMAT = 2
# What makes vectors of passages; of documents in its language only.
EMBEDDER_NAME = "embed-en"
_GENERATION = re.compile(r"g(\d{6,})")
# Generations that stay beside the newest one, for those who still read them.
KEPT = 1
HEAP_BYTES = 100_000_000
SAY_EVERY_S = 5.0
COLUMNS = ("id", "text", "source", "created_at", "lang", "sentiment", "entities")


@dataclass(frozen=True, slots=True)
class IndexCounts:
    """What a build came to.

    Attributes:
        generation: Number of the generation that is current now.
        parts: Parts in it.
        passages: Passages in it.
        added: Parts that are new or have changed.
        removed: Parts that are gone or have changed.
    """

    generation: int
    parts: int
    passages: int
    added: int
    removed: int


def schema() -> Any:
    """Return tantivy's schema of a passage.

    Raises:
        ConfigError: tantivy is not installed.
    """
    try:
        from tantivy import SchemaBuilder
    except ModuleNotFoundError as error:
        raise ConfigError("an index needs the package tantivy: pip install 'textmill[ask]'") from error
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


def generations(folder: Path) -> list[tuple[int, Path]]:
    """Return the whole generations of an index, the newest last.

    Args:
        folder: Of the index.
    """
    found = [(int(match[1]), path) for path in folder.glob("g*") if (match := _GENERATION.fullmatch(path.name))]
    return sorted((number, path) for number, path in found if (path / MANIFEST).is_file())


def manifest_of(generation: Path) -> dict[str, Any]:
    """Read what a generation holds.

    Args:
        generation: Its folder.

    Returns:
        Its manifest: `output`, `parts` (name -> attempt), `passages`, `format`, and `vectors`, a `VectorsOf`.

    Raises:
        OutputError: It is no manifest.
    """
    try:
        found: dict[str, Any] = json.loads((generation / MANIFEST).read_text(encoding="utf-8"))
        vectors = VectorsOf.from_json(found["vectors"]) if "vectors" in found else VectorsOf()
        kept = {"output": found["output"], "format": int(found.get("format", 1)), "vectors": vectors}
        return {**kept, "parts": dict(found["parts"]), "passages": int(found["passages"])}
    except (OSError, AttributeError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{generation / MANIFEST} is no manifest of an index ({error}); make the index anew") from error


def build_index(
    store: Store,
    folder: Path,
    say: Callable[[str], object] = lambda line: None,
    check: Callable[[], object] = lambda: None,
    embedder: str | Path | None = EMBEDDER_NAME,
) -> IndexCounts:
    """Bring an index up to what an output holds: parts that are new or have changed are added, others stay or go.

    Args:
        store: The output; its parts hold their documents' texts.
        folder: Of the index; made if it is absent.
        say: Hears what is done.
        check: Called often; what it raises ends the build, which the same call begins anew.
        embedder: Makes vectors of the passages in its language; None for none. Another one than before makes the index anew.

    Returns:
        What came of it; nothing is written if nothing has changed.

    Raises:
        ConfigError: The parts hold no texts, tantivy is not installed, or the index is of another output.
        ClaimedError: Another process makes this index.
        OutputError: A part or the index is not as it should be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with LocalStore(folder).claim(CLAIM) as held:
        return _build(store, folder, say, lambda: (check(), held()), embedder)


def _build(
    store: Store, folder: Path, say: Callable[[str], object], check: Callable[[], object], embedder: str | Path | None
) -> IndexCounts:
    there = {path: _attempt(store, path) for path in _parts(store)}
    whole = generations(folder)
    number, old = whole[-1] if whole else (0, None)
    before: dict[str, Any] = (
        manifest_of(old) if old is not None else {"output": store.url, "parts": {}, "passages": 0, "vectors": VectorsOf()}
    )
    if before["output"] != store.url:
        raise ConfigError(f"{folder} is an index of {before['output']}, not of {store.url}; name another folder")
    package = open_package(embedder, EMBEDDER) if embedder is not None else None
    if old is not None and (before["format"], before["vectors"].digest) != (FORMAT, package.digest if package else ""):
        old, before["parts"], before["vectors"] = None, {}, VectorsOf()
    known = before["parts"]
    gone = sorted(path for path, attempt in known.items() if there.get(path) != attempt)
    new = sorted(path for path, attempt in there.items() if known.get(path) != attempt)
    shutil.rmtree(folder / BUILDING, ignore_errors=True)
    if old is not None and not gone and not new:
        return IndexCounts(number, len(there), before["passages"], 0, 0)
    building = _copied(old, folder / BUILDING)
    load = (lambda: load_embedder(package.folder)) if package else None
    vectors = VectorWriter(building, before["vectors"], load, package.digest if package else "", package.lang if package else "")
    passages = _fill(store, building, gone, new, vectors, say, check)
    manifest = {
        "output": store.url, "format": FORMAT, "parts": there, "passages": passages, "made": datetime.now(UTC).isoformat(),
        "vectors": vectors.of().to_json(),
    }  # fmt: skip
    with (building / MANIFEST).open("w", encoding="utf-8") as out:
        json.dump(manifest, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    check()
    point("index.rename.before")
    building.rename(folder / f"g{number + 1:06d}")
    point("index.rename.after")
    for _, path in whole[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)
    return IndexCounts(number + 1, len(there), passages, len(new), len(gone))


def _parts(store: Store) -> list[str]:
    found = [entry.path for entry in store.list(TAGS) if entry.path.endswith(".parquet")]
    if not found:
        raise ConfigError(f"{store.url}: no {TAGS}/ in it; is it the output folder of `textmill tag`?")
    return found


def _attempt(store: Store, path: str) -> str:
    return str(read_footer(store, path)["attempt"])


def _copied(old: Path | None, building: Path) -> Path:
    """A folder with the files of a generation; tantivy writes new files and never changes one, so links will do."""
    building.mkdir()
    for path in old.iterdir() if old is not None else ():
        if path.name == MANIFEST or path.name.endswith(".lock"):
            continue
        if path.suffix == ".json" or not _linked(path, building / path.name):
            shutil.copy2(path, building / path.name)
    return building


def _linked(path: Path, link: Path) -> bool:
    """Whether a file has a second name now; some file systems give none."""
    try:
        os.link(path, link)
    except OSError:
        return False
    return True


def _fill(
    store: Store,
    building: Path,
    gone: list[str],
    new: list[str],
    vectors: VectorWriter,
    say: Callable[[str], object],
    check: Callable[[], object],
) -> int:
    from tantivy import Index

    index = Index(schema(), path=str(building), reuse=True)
    writer = index.writer(HEAP_BYTES, 1)
    for path in gone:
        writer.delete_documents_by_term("part", path)
        vectors.drop(path)
    said = time.monotonic()
    for number, path in enumerate(new, 1):
        for document in _documents(store, path, vectors, check):
            writer.add_document(document)
        vectors.close_part(path, check)
        point("index.part")
        if number == len(new) or time.monotonic() - said >= SAY_EVERY_S:
            say(f"{path}: {number:,} of {len(new):,} parts")
            said = time.monotonic()
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    return int(index.searcher().num_docs)


def _documents(store: Store, path: str, vectors: VectorWriter, check: Callable[[], object]) -> Iterator[Any]:
    from tantivy import Document

    with store.open_read(path) as stream:
        file = parquet_file(stream)
        if "text" not in file.schema_arrow.names:
            raise ConfigError(f"{store.url}/{path} holds no texts; tag with --keep-text (--retag tags again what is there)")
        row = 0
        for batch in batches(file, columns=list(COLUMNS)):
            check()
            for one in batch.to_pylist():
                for start, end in cut_passages(one["text"] or ""):
                    text = one["text"][start:end]
                    fields: dict[str, Any] = {
                        "part": path, "id": one["id"], "source": one["source"] or "", "lang": one["lang"], "row": row,
                        "sentiment": one["sentiment"], "start": start, "text": text, "terms": " ".join(terms_of(text)),
                    }  # fmt: skip
                    if one["created_at"] is not None:
                        fields["time"] = microseconds(one["created_at"])
                    fields["around"] = " ".join(terms_of(surroundings(one["text"], start, end)))
                    fields["characters"], fields["sounds"] = " ".join(characters_of(text)), " ".join(sounds_of(text))
                    if (number := vectors.add(text, one["lang"], row)) is not None:
                        fields["vector"] = number
                    inside = [e for e in one["entities"] if start <= e["start"] < end]
                    fields["entity"] = sorted({name for e in inside for name in entity_terms(e["label"], e["text"])})
                    yield Document(**{key: value if isinstance(value, list) else [value] for key, value in fields.items()})
                row += 1


def entity_terms(label: str, name: str) -> tuple[str, str]:
    """Return what an entity is found by: its folded name, and its type with it.

    Args:
        label: PER, ORG, LOC or MISC.
        name: As it stands in the text.
    """
    folded = normalize_name(name)
    return folded, f"{label}:{folded}"
