"""The index of passages, made up to date: the newest generation, and what has changed in the output since.

A generation is built in a folder of this machine and gets its name when it is whole. Whoever reads looks for the highest number.
A killed build is begun anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from models.runtime.embedder import load_embedder
from models.runtime.labels import ENTITY_TYPES, SENTIMENTS
from models.runtime.package import EMBEDDER, open_package
from pipeline.ask.changes import PartChanges, changes
from pipeline.ask.documents import COLUMNS, documents, schema
from pipeline.ask.generations import (
    CLAIM,
    IndexedPart,
    IndexGeneration,
    read_generation,
    store_of,
    tidy,
    try_tidy,
    whole_generations,
)
from pipeline.ask.publishing import building_of, files_of, publish
from pipeline.ask.source_texts import SourceTexts
from pipeline.ask.vectors import VectorsOf, VectorWriter
from pipeline.errors import ConfigError, InputError, MissingError, OutputError, UnavailableError
from pipeline.faults import point
from pipeline.report.classes import classes_of
from pipeline.sink.attempt import read_footer
from pipeline.sink.files import hold_claim
from pipeline.source.tables import stop_reader_processes
from pipeline.store.base import Store
from pipeline.store.parquet import batches, parquet_file
from pipeline.store.settings import StoreConfig

# Of the schema and the terms: an index of another format is made anew.
FORMAT = 2
# What makes vectors of passages; of documents in its language only.
EMBEDDER_NAME = "embed-en"
HEAP_BYTES = 100_000_000
# Rows of a part that are in memory as Python's values at once.
ROWS = 4096
SAY_EVERY_S = 5.0
# So often a build is begun anew because parts were replaced while it read them.
TRIES = 3


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


def about_of(generation: IndexGeneration) -> tuple[int, str]:
    """Return the format of a generation, and the digest of what made its vectors.

    Args:
        generation: The generation.
    """
    about = generation.about
    return int(about.get("format", 1)), str(about["vectors"]["digest"]) if "vectors" in about else ""


def labels_of(generation: IndexGeneration) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the types of entities and the classes of documents that a generation may hold, sorted.

    Args:
        generation: The generation; where it does not say, it was made when there were only those of the shipped models.
    """
    usual = {"types": ENTITY_TYPES, "classes": SENTIMENTS} if generation.number else {}
    types, classes = (sorted(generation.about.get(name, usual.get(name, ()))) for name in ("types", "classes"))
    return tuple(types), tuple(classes)


def embedder_of(answers: Store) -> str | None:
    """Return what makes the vectors of an index where nobody says: none if it was made without, and is not to be made anew.

    Args:
        answers: The index.
    """
    there = whole_generations(answers)
    return EMBEDDER_NAME if not there or about_of(read_generation(answers, there[-1]))[1] else None


class _ReplacedError(Exception):
    """A part is not what it was a moment ago."""


def build_index(
    store: Store,
    answers: Store | Path,
    say: Callable[[str], object] = lambda line: None,
    check: Callable[[], object] = lambda: None,
    config: StoreConfig | None = None,
    embedder: str | Path | None = EMBEDDER_NAME,
) -> IndexCounts:
    """Bring an index up to what an output holds: parts that are new or have changed are added, others stay or go.

    Args:
        store: The output. Where its parts hold no texts, these are read again from the input.
        answers: The index: a store, or a folder of this machine.
        say: Hears what is done.
        check: Called often; what it raises ends the build, which the same call begins anew.
        config: How an input on another machine is reached.
        embedder: Makes vectors of the passages in its language; None for none. Another one than before makes the index anew.

    Returns:
        What came of it; nothing is written if nothing has changed.

    Raises:
        ConfigError: tantivy is not installed, this is no output, or the index is of another output.
        ClaimedError: Another process makes this index.
        OutputError: A part or the index is not as it should be.
        InputError: Texts were not kept, and a file of the input is not what it was; all other parts are in the index.
        UnavailableError: A part is replaced again and again while it is read, and all others are in the index; or the index
            cannot be written.
    """
    answers = store_of(answers)
    with hold_claim(answers, CLAIM) as held:

        def checked() -> None:
            check()
            held()

        try:
            added = removed = 0
            for _ in range(TRIES):
                build = _Build(store, answers, say, checked, config or store.config, embedder)
                counts = build.go()
                added, removed = added + counts.added, removed + counts.removed
                if not build.replaced:
                    return replace(counts, added=added, removed=removed)
            raise UnavailableError(
                store.url, f"a part is replaced while it is read ({build.replaced}); all others are in the index"
            )
        finally:
            stop_reader_processes()


class _Build:
    def __init__(
        self,
        store: Store,
        answers: Store,
        say: Callable[[str], object],
        check: Callable[[], object],
        config: StoreConfig | None,
        embedder: str | Path | None,
    ) -> None:
        self._package = open_package(embedder, EMBEDDER) if embedder is not None else None
        self._store, self._answers, self._say, self._check = store, answers, say, check
        self._texts = SourceTexts(store, config, check)
        self._failed: dict[str, InputError] = {}
        self.replaced = ""

    def go(self) -> IndexCounts:
        schema()  # what is not installed is said first
        there = tidy(self._answers)
        before = there[-1] if there else IndexGeneration(0, self._store.url)
        if before.output != self._store.url:
            what = f"{self._answers.url} is an index of {before.output}, not of {self._store.url}"
            raise ConfigError(f"{what}; name another folder")
        self._number = before.number
        if before.number and about_of(before) != (FORMAT, self._digest):
            before = IndexGeneration(0, self._store.url)  # it is made anew
        try:
            found = changes(self._store, before.parts)
        except MissingError as error:
            self.replaced = str(error)
            return IndexCounts(before.number, len(before.parts), before.passages, 0, 0)
        made = before
        if found.new or found.gone or not before.number:
            made = self._made(before, found)
        if self._failed:
            first, *others = self._failed.values()
            if others:
                first.add_note(f"and {len(others):,} more parts; all others are in the index")
            raise first
        added, removed = (len(made.parts) - len(found.same), len(found.gone)) if made is not before else (0, 0)
        return IndexCounts(made.number, len(made.parts), made.passages, added, removed)

    def _made(self, before: IndexGeneration, found: PartChanges) -> IndexGeneration:
        self._types, self._classes = map(set, labels_of(before))
        with building_of(self._answers, before, self._check) as building:
            vectors = self._writer(building, before)
            passages, added = self._fill(building, found, vectors)
            if before.number and not added and not found.gone:
                return before  # of what is new nothing could be read
            if self._number and not before.number and len(added) < len(found.new):
                return before  # made anew it would hold less: the generation that is there stays
            after = IndexGeneration(self._number + 1, self._store.url)
            files = files_of(self._answers, building, before, after.folder)
            after = replace(after, parts=dict(sorted({**found.same, **added}.items())), passages=passages, files=files)
            after.about.update(format=FORMAT, vectors=vectors.of().to_json(), made=datetime.now(UTC).isoformat())
            after.about.update(types=sorted(self._types), classes=sorted(self._classes))
            publish(self._answers, building, after, self._check)
        try_tidy(self._answers)
        return after

    @property
    def _digest(self) -> str:
        return self._package.digest if self._package is not None else ""

    def _writer(self, building: Path, before: IndexGeneration) -> VectorWriter:
        said = VectorsOf.from_json(before.about["vectors"]) if before.number else VectorsOf()
        package = self._package
        if package is None:
            return VectorWriter(building, said, None)
        return VectorWriter(building, said, lambda: load_embedder(package.folder), package.digest, package.lang)

    def _fill(self, building: Path, found: PartChanges, vectors: VectorWriter) -> tuple[int, dict[str, IndexedPart]]:
        """Take out what is gone, and take in what is new; gives the number of passages, and the parts that were taken in."""
        from tantivy import Index

        index = Index(schema(), path=str(building), reuse=True)
        writer = index.writer(HEAP_BYTES, 1)
        for path in found.gone:
            writer.delete_documents_by_term("part", path)
            vectors.drop(path)
        said, added = time.monotonic(), {}
        for number, (path, part) in enumerate(found.new.items(), 1):
            try:
                attempt = self._take_in(path, writer, vectors)
            except InputError as error:
                self._failed[path] = error
                continue
            except _ReplacedError as error:
                # The next build takes it in as it is then; what of it is here goes.
                self.replaced = str(error)
                writer.delete_documents_by_term("part", path)
                vectors.forget()
                continue
            added[path] = replace(part, attempt=attempt)
            point("index.part")
            if number == len(found.new) or time.monotonic() - said >= SAY_EVERY_S:
                self._say(f"{path}: {number:,} of {len(found.new):,} parts")
                said = time.monotonic()
        with self._writing():
            writer.commit()
            writer.wait_merging_threads()
        index.reload()
        return int(index.searcher().num_docs), added

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Tantivy says of every fault of a disk that its writer was killed."""
        try:
            yield
        except ValueError as error:
            raise UnavailableError(self._answers.url, f"the index cannot be written ({error}); is the disk full?") from error

    def _take_in(self, path: str, writer: Any, vectors: VectorWriter) -> str:
        """Add the passages of a part; gives the attempt that made it. All is from one file, whatever becomes of its name."""
        try:
            attempt = self._attempt(path)
            with self._store.open_read(path) as stream:
                file = parquet_file(stream)
                has_texts = "text" in file.schema_arrow.names
                self._classes.update(classes_of(file.schema_arrow))
                texts = None if has_texts else iter(self._texts.of(path, stream))
                for document in documents(path, self._rows(file, texts), vectors, self._check):
                    with self._writing():
                        writer.add_document(document)
            if self._attempt(path) != attempt:
                raise _ReplacedError(path)
            vectors.close_part(path, self._check)
        except MissingError as error:
            raise _ReplacedError(str(error)) from error
        except pa.ArrowException as error:
            raise self._no_part(path, error) from error
        return attempt

    def _attempt(self, path: str) -> str:
        try:
            return str(read_footer(self._store, path)["attempt"])
        except KeyError as error:
            raise self._no_part(path, error) from error

    def _no_part(self, path: str, error: Exception) -> OutputError:
        what = f"{type(error).__name__}: {error}"
        return OutputError(f"{self._store.url}/{path} cannot be read ({what}); is it a part of a run?")

    def _rows(self, file: Any, texts: Iterator[str] | None) -> Iterator[tuple[list[dict[str, Any]], list[str]]]:
        for batch in batches(file, columns=[*COLUMNS, *([] if texts is not None else ["text"])], rows=ROWS):
            rows = batch.to_pylist()
            self._types.update(entity["label"] for one in rows for entity in one["entities"])
            yield rows, [one["text"] or "" for one in rows] if texts is None else list(islice(texts, len(rows)))
