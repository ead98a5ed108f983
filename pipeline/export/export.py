"""The documents of an output, in the format of another tool: part after part, under a temporary name until all are there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import ConfigError
from pipeline.export.brat import BratFolder
from pipeline.export.database import OutputDatabase, output_database
from pipeline.export.lines import ConllFile, CsvFile, JsonLinesFile
from pipeline.export.queries import check_condition
from pipeline.export.spacy_docs import SUFFIX, SpacyFiles
from pipeline.export.tokens import RunCounts
from pipeline.export.values import json_rows
from pipeline.store.base import Store
from pipeline.store.open import is_local, split_url

# Rows that are in memory at once, about.
ROWS = 1_000


class _Written(Protocol):
    def add(self, rows: Sequence[Sequence[Any]], _part: str, /) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Format:
    """A format: what is asked of DuckDB for it, and who writes it. Without `text` the documents' texts are not needed."""

    columns: Callable[[Sequence[str]], str]
    begin: Callable[[Path, Sequence[str], RunCounts], _Written]
    text: bool = True


def _all(names: Sequence[str]) -> str:
    """All columns; words are most of them, and DuckDB makes JSON of them faster."""
    return ", ".join(f"to_json({name})::varchar as {name}" if name == "words" else _quoted(name) for name in names)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


FORMATS = {
    "jsonl": _Format(_all, lambda path, names, _: JsonLinesFile(path, names), text=False),
    "csv": _Format(_all, lambda path, names, _: CsvFile(path, names), text=False),
    "conll": _Format(lambda _: "id, text, entities, words", lambda path, _, counts: ConllFile(path, counts)),
    "spacy": _Format(
        lambda _: "id, text, entities, words, source, created_at, lang, sentiment_scores",
        lambda path, _, counts: SpacyFiles(path, not path.name.endswith(SUFFIX), counts),
    ),
    "brat": _Format(lambda _: "id, text, entities", lambda path, _, counts: BratFolder(path, counts)),
}


@dataclass(frozen=True, slots=True)
class ExportCounts:
    """What an export came to.

    Attributes:
        format: Name of the format.
        destination: The file or folder.
        parts: Parts that were read.
        documents: Documents that were written.
        entities: Entities that were written as annotations; None where the format has all columns as they are.
        entities_widened: Those of them that cut a word, and now hold all of it.
        entities_left_out: Entities that are not written, as a longer one holds the same word, or they hold no word.
    """

    format: str
    destination: str
    parts: int
    documents: int
    entities: int | None
    entities_widened: int | None
    entities_left_out: int | None


def export_documents(
    store: Store,
    destination: str,
    kind: str,
    where: str = "",
    seen: Callable[[int, int], object] = lambda done, parts: None,
    check: Callable[[], object] = lambda: None,
) -> ExportCounts:
    """Write the documents of an output in another tool's format.

    Args:
        store: The output.
        destination: File or folder of this machine that is not there yet; it appears when it is whole.
        kind: Name of a format, of `FORMATS`.
        where: Condition in SQL on the columns of `tags`; "" for all documents.
        seen: Called before each part with the number of parts that are done, and of all.
        check: Called often; what it raises ends the export, and nothing is left of it.

    Returns:
        What was written.

    Raises:
        ConfigError: The destination is there already or cannot be made, the condition is none, or texts are missing.
        OutputError: This is no output of `textmill tag`, or a file of it is no part.
        UnavailableError: A part could not be read: it has changed meanwhile.
        StoreError: The store of the output fails.
    """
    if kind not in FORMATS:
        raise ConfigError(f"--format {kind}: the formats are {', '.join(FORMATS)}")
    path, form, counts = _new(destination), FORMATS[kind], RunCounts()
    with output_database(store) as database:
        names = database.parts.columns
        if form.text and database.parts.tags and "text" not in names:
            raise _no_text(store.url, kind)
        if where:
            check_condition(database, where)
        # Behind its dot and number the name ends as the file's will, by which a writer may tell what it is to make.
        part = path.with_name(f".{os.getpid()}.part.{path.name}")
        try:
            writer = form.begin(part, names, counts)
            with closing(writer):
                documents = _copy(database, form, kind, where, writer, seen, check)
                writer.finish()
            check()
            part.rename(path)
        finally:
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            part.unlink(missing_ok=True)
        said: tuple[int | None, int | None, int | None] = (None, None, None)
        if form.text:
            said = (counts.entities, counts.widened, counts.left_out)
        return ExportCounts(kind, str(path), len(database.parts.tags), documents, *said)


def _copy(
    database: OutputDatabase, form: _Format, kind: str, where: str, writer: _Written, seen: Callable[[int, int], object],
    check: Callable[[], object],
) -> int:  # fmt: skip
    documents = 0
    parts = database.parts.tags
    for done, entry in enumerate(parts):
        seen(done, len(parts))
        name = entry.path.rsplit("/", 1)[-1].removesuffix(".parquet")
        chosen = f"select * from {database.part(entry)} as tags" + (f" where (\n{where}\n)" if where else "")
        asked = f"select {form.columns(database.parts.columns)} from ({chosen}) as tags"
        with closing(database.batches(asked, ROWS)) as batches:
            for batch in batches:
                check()
                if form.text and batch["text"].null_count:
                    raise _no_text(entry.path, kind)
                writer.add(json_rows(batch), name)
                documents += batch.num_rows
    return documents


def _no_text(what: str, kind: str) -> ConfigError:
    return ConfigError(
        f"{what}: the texts of the documents were not kept, and {kind} needs them; tag them with "
        "`textmill tag INPUT OUTPUT --keep-text --retag`, or export jsonl or csv"
    )


def _new(destination: str) -> Path:
    if not is_local(destination):
        raise ConfigError(f"{destination}: name a file or folder of this machine, and copy it from there")
    path = Path(split_url(destination)[2])
    if path.exists():
        raise ConfigError(f"{path} is there already; remove it, or name another file or folder")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: name something in a folder that is there")
    return path
