"""A user's labelled documents, and how they are read: JSON lines, CSV or TSV, and CoNLL columns."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import LabelledDataError
from models.factory.own.conll import read_conll
from models.factory.own.spans import LabelledSpan, checked, named_class, spans_of


@dataclass(frozen=True, slots=True)
class OwnDocument:
    """A text with the labels that a user gave it.

    Attributes:
        text: The text.
        entities: Its entities, in order and apart from one another; None if nobody has marked any in this document.
        label: Its class; None if nobody has given it one.
    """

    text: str
    entities: tuple[LabelledSpan, ...] | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the fields that hold what is learned.

    Attributes:
        text: Of the text.
        label: Of the class.
        entities: Of the list of entities.
    """

    text: str = "text"
    label: str = "label"
    entities: str = "entities"


def read_documents(paths: Sequence[Path], columns: Columns) -> list[OwnDocument]:
    """Read labelled documents.

    A file's suffix says what it is, before `.gz` if it is packed: `.jsonl` and `.ndjson` are JSON lines, `.csv` and `.tsv` tables
    with a header, `.conll`, `.iob`, `.bio` and `.txt` columns of words and tags.

    Args:
        paths: Files, and folders of which every such file is read.
        columns: Names of the fields of JSON lines and tables.

    Returns:
        The documents, in the order of the files and of their lines.

    Raises:
        LabelledDataError: A file cannot be read as what it is, or a label is not what it should be; it names the line.
    """
    documents: list[OwnDocument] = []
    for path in _files(paths):
        read = _READERS[_suffix(path)]
        try:
            with _opened(path) as lines:
                documents += read(lines, str(path), columns)
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise LabelledDataError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    return documents


def _suffix(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.is_file() and _suffix(one) in _READERS)
            if not inside:
                raise LabelledDataError(f"{path}: no file in it ends in one of {', '.join(_READERS)}")
            found += inside
        elif not path.exists():
            raise LabelledDataError(f"{path}: no such file or folder")
        elif _suffix(path) not in _READERS:
            raise LabelledDataError(f"{path}: its name ends in none of {', '.join(_READERS)}, so its format is not known")
        else:
            found.append(path)
    return found


def _opened(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _json_lines(lines: io.TextIOBase, name: str, columns: Columns) -> Iterator[OwnDocument]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise LabelledDataError(f"{where}: no JSON ({error}); every line must be an object") from error
        if not isinstance(row, dict):
            raise LabelledDataError(f"{where}: a JSON {type(row).__name__}, not an object")
        yield _document(row, columns, where)


def _document(row: dict[str, Any], columns: Columns, where: str) -> OwnDocument:
    text, label = row.get(columns.text), row.get(columns.label)
    if not isinstance(text, str):
        raise LabelledDataError(f"{where}: no string {columns.text!r}; --text-column names the field of the text")
    marked = row.get(columns.entities)
    if marked is None and isinstance(label, list) and not all(isinstance(one, str) for one in label):
        marked, label = label, None  # doccano writes spans there
    return OwnDocument(text, None if marked is None else spans_of(marked, text, where), named_class(label, where))


def _table(delimiter: str) -> Callable[[io.TextIOBase, str, Columns], Iterator[OwnDocument]]:
    def read(lines: io.TextIOBase, name: str, columns: Columns) -> Iterator[OwnDocument]:
        rows = csv.DictReader(lines, delimiter=delimiter, strict=True)
        try:
            fields = rows.fieldnames or []
            for column, option in ((columns.text, "--text-column"), (columns.label, "--label-column")):
                if column not in fields:
                    raise LabelledDataError(
                        f"{name}: no column {column!r} in its header ({', '.join(fields)}); {option} names it"
                    )
            for row in rows:
                where = f"{name}, line {rows.line_num}"
                if None in row or row[columns.text] is None or row[columns.label] is None:
                    raise LabelledDataError(f"{where}: {len(fields)} columns in the header, but not in this row")
                yield OwnDocument(row[columns.text], None, named_class(row[columns.label], where))
        except csv.Error as error:
            raise LabelledDataError(f"{name}, line {rows.reader.line_num}: {error}") from error

    return read


def _columns_of_words(lines: io.TextIOBase, name: str, columns: Columns) -> Iterator[OwnDocument]:
    for number, text, entities in read_conll(lines, name):
        yield OwnDocument(text, checked(entities, text, f"{name}, line {number}"))


_READERS: dict[str, Callable[[io.TextIOBase, str, Columns], Iterator[OwnDocument]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".conll": _columns_of_words,
    ".iob": _columns_of_words,
    ".bio": _columns_of_words,
    ".txt": _columns_of_words,
}
