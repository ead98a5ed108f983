"""Readers of corpora, one function a file format.

Every reader yields `LabelledText`s: a text, the extents of its gold words, and whichever labels the corpus has.
"""

from __future__ import annotations

import csv
import gzip
import html
import io
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq

from models.errors import DataMissingError
from models.runtime.labels import SENTIMENTS, UPOS


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One text with its gold labels; a label list that is None is not known.

    Attributes:
        words: Extents of the words, in code points.
        tags: BIO tag of each word.
        upos: Universal part of speech of each word.
        sentiment: 0 negative, 1 neutral, 2 positive.
        spans: Entities as (start, end, type), where the corpus gives extents of its own; then `tags` say the same of `words`.
    """

    text: str
    words: tuple[tuple[int, int], ...] = ()
    tags: tuple[str, ...] | None = None
    upos: tuple[str, ...] | None = None
    sentiment: int | None = None
    spans: tuple[tuple[int, int, str], ...] | None = None


def open_text(path: Path) -> io.TextIOBase:
    """Open a file or its .gz as UTF-8 text.

    Args:
        path: The file.

    Returns:
        The stream.

    Raises:
        DataMissingError: Neither is there.
    """
    packed = path if path.suffix == ".gz" else path.with_name(path.name + ".gz")
    if packed.exists():
        return io.TextIOWrapper(gzip.open(packed), encoding="utf-8", newline="")
    if not path.exists():
        raise DataMissingError(f"{path}: no such file; point --data-dir at the folder that holds the corpora")
    return path.open(encoding="utf-8", newline="")


def lay_out(forms: list[str], space_after: list[bool]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Join forms into a text.

    Args:
        forms: Words.
        space_after: Whether a space follows each.

    Returns:
        The text, and the extent of each form.
    """
    text, extents = [], []
    at = 0
    for form, space in zip(forms, space_after, strict=True):
        extents.append((at, at + len(form)))
        text.append(form + " " * space)
        at += len(form) + space
    return "".join(text).rstrip(" "), tuple(extents)


def to_bio(tags: list[str], fold: dict[str, str] | None = None) -> tuple[str, ...]:
    """Turn IO, IOB1 or BIO tags into BIO.

    Args:
        tags: Tag of each word.
        fold: Entity type -> its new name; "O" drops it.

    Returns:
        The tags.
    """
    out: list[str] = []
    before = ("O", "")
    for tag in tags:
        prefix, _, kind = tag.partition("-")
        kind = (fold or {}).get(kind, kind)
        if prefix == "O" or kind == "O":
            out.append("O")
            before = ("O", "")
            continue
        goes_on = prefix == "I" and before[1] == kind
        out.append(("I-" if goes_on else "B-") + kind)
        before = (prefix, kind)
    return tuple(out)


def read_columns(path: Path, fold: dict[str, str] | None = None) -> Iterator[LabelledText]:
    """Read a word a line, its tag last, sentences apart by blank lines; -DOCSTART- lines are ignored.

    Args:
        path: The file; PATH.gz will do.
        fold: Entity type -> its new name; "O" drops it.

    Yields:
        The texts.
    """
    forms: list[str] = []
    tags: list[str] = []
    with open_text(path) as lines:
        for line in [*lines, ""]:
            parts = line.split()
            if len(parts) >= 2 and parts[0] != "-DOCSTART-":
                forms.append(parts[0])
                tags.append(parts[-1])
            elif not parts and forms:
                text, extents = lay_out(forms, [True] * len(forms))
                yield LabelledText(text, extents, tags=to_bio(tags, fold))
                forms, tags = [], []


def read_tabbed(path: Path) -> Iterator[LabelledText]:
    """Read word TAB BIO tag of ours TAB the source's tag; sentences apart by blank lines.

    Args:
        path: The file; PATH.gz will do.

    Yields:
        The texts.
    """
    forms: list[str] = []
    tags: list[str] = []
    with open_text(path) as lines:
        for line in [*lines, ""]:
            fields = line.rstrip("\r\n").split("\t")
            if len(fields) >= 2:
                forms.append(fields[0])
                tags.append(fields[1])
            elif forms:
                text, extents = lay_out(forms, [True] * len(forms))
                yield LabelledText(text, extents, tags=to_bio(tags))
                forms, tags = [], []


def conllu_sentences(path: Path) -> Iterator[list[list[str]]]:
    """Read the rows of each sentence of a CoNLL-U file, 10 fields each; empty nodes are left out.

    Args:
        path: The file; PATH.gz will do.

    Yields:
        The rows of a sentence.
    """
    rows: list[list[str]] = []
    with open_text(path) as lines:
        for line in [*lines, ""]:
            fields = line.rstrip("\r\n").split("\t")
            if len(fields) == 10 and "." not in fields[0]:
                rows.append(fields)
            elif not line.strip() and rows:
                yield rows
                rows = []


def read_conllu(path: Path) -> Iterator[LabelledText]:
    """Read Universal Dependencies' CoNLL-U; a multiword token's words are laid into its surface form where they fit.

    Args:
        path: The file; PATH.gz will do.

    Yields:
        The texts.
    """
    for sentence in conllu_sentences(path):
        forms, upos, spaces = [], [], []
        inside_until, surface_space = 0, True
        for fields in sentence:
            space = "SpaceAfter=No" not in fields[9]
            if "-" in fields[0]:
                inside_until, surface_space = int(fields[0].split("-")[1]), space
                continue
            number = int(fields[0])
            if number <= inside_until:
                space = surface_space and number == inside_until
            forms.append(fields[1])
            upos.append(fields[3] if fields[3] in UPOS else "X")
            spaces.append(space)
        text, extents = lay_out(forms, spaces)
        yield LabelledText(text, extents, upos=tuple(upos))


def read_sst2(path: Path) -> Iterator[LabelledText]:
    """Read text TAB 0 or 1.

    Args:
        path: The file; PATH.gz will do.

    Yields:
        The texts.
    """
    with open_text(path) as lines:
        for line in lines:
            text, _, label = line.rstrip("\r\n").rpartition("\t")
            yield LabelledText(text, sentiment=2 * int(label))


def read_labelled(path: Path) -> Iterator[LabelledText]:
    """Read sentiment TAB text, and perhaps more that is not used.

    Args:
        path: The file; PATH.gz will do.

    Yields:
        The texts.
    """
    with open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            label, _, rest = line.rstrip("\r\n").partition("\t")
            if label not in SENTIMENTS:
                raise DataMissingError(f"{path}, line {number}: {label[:40]!r} is none of {', '.join(SENTIMENTS)}")
            yield LabelledText(rest.split("\t")[0], sentiment=SENTIMENTS.index(label))


# Words of a text whose entities are given as extents: runs of letters and digits, and every other mark alone.
_WORDS = re.compile(r"\w+|[^\w\s]")


def read_posts(path: Path) -> Iterator[LabelledText]:
    """Read documents as JSON lines: text, sentiment, and entities with label, start and end in code points.

    Args:
        path: The file; PATH.gz will do.

    Yields:
        The texts.
    """
    with open_text(path) as lines:
        for line in lines:
            post = json.loads(line)
            spans = tuple((e["start"], e["end"], e["label"]) for e in post["entities"])
            words, tags = words_of_spans(post["text"], spans)
            yield LabelledText(post["text"], words, tags, sentiment=SENTIMENTS.index(post["sentiment"]), spans=spans)


def words_of_spans(text: str, spans: Sequence[tuple[int, int, str]]) -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
    """Cut a text into words, also where entities begin and end.

    Args:
        text: The text.
        spans: Entities as (start, end, type).

    Returns:
        Extents of the words, and their BIO tags.
    """
    bounds = {bound for start, end, _ in spans for bound in (start, end)}
    words: list[tuple[int, int]] = []
    for found in _WORDS.finditer(text):
        cuts = [found.start(), *sorted(b for b in bounds if found.start() < b < found.end()), found.end()]
        words += pairwise(cuts)
    tags = ["O"] * len(words)
    starts = [start for start, _ in words]
    for start, end, kind in spans:
        first, stop = bisect_left(starts, start), bisect_left(starts, end)
        tags[first:stop] = ["B-" + kind, *["I-" + kind] * (stop - first - 1)] if stop > first else []
    return tuple(words), tuple(tags)


def read_folder(read: Callable[[Path], Iterator[LabelledText]], suffix: str, folder: Path) -> Iterator[LabelledText]:
    """Read all records of the files of a folder, in order of their names.

    Args:
        read: Reads one file.
        suffix: How their names end, perhaps with .gz behind.
        folder: The folder.

    Yields:
        The texts.
    """
    paths = sorted(p for p in folder.glob("*") if p.name.removesuffix(".gz").endswith(suffix))
    if not paths:
        raise DataMissingError(f"{folder}: no file ends in {suffix}; point --data-dir at the folder that holds the corpora")
    for path in paths:
        yield from read(path)


_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def read_semeval(path: Path) -> Iterator[LabelledText]:
    """Read id TAB label TAB tweet, the tweet with CSV quotes, Unicode escapes and HTML escapes.

    Args:
        path: The file; PATH.gz will do.

    Yields:
        The texts.
    """
    with open_text(path) as lines:
        for line in lines:
            _, label, text = line.rstrip("\r\n").split("\t", 2)
            text = text.strip()
            if len(text) > 1 and text[0] == text[-1] == '"':
                text = text[1:-1]
            text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text.replace('""', '"'))
            yield LabelledText(html.unescape(text), sentiment=SENTIMENTS.index(label))


def read_airline(path: Path) -> Iterator[LabelledText]:
    """Read the airline tweets' CSV.

    Args:
        path: The file; PATH.gz will do.

    Yields:
        The texts.
    """
    with open_text(path) as lines:
        for row in csv.DictReader(lines):
            yield LabelledText(html.unescape(row["text"]), sentiment=SENTIMENTS.index(row["airline_sentiment"]))


def read_jsonl_texts(folder: Path) -> Iterator[LabelledText]:
    """Read the `text` of every line of every *.jsonl.gz below a folder, in order of the paths.

    Args:
        folder: The folder.

    Yields:
        The texts.
    """
    for path in sorted(folder.rglob("*.jsonl.gz")):
        with open_text(path) as lines:
            for line in lines:
                yield LabelledText(json.loads(line)["text"])


def read_parquet_texts(folder: Path) -> Iterator[LabelledText]:
    """Read the `text` column of every Parquet file of a folder.

    Args:
        folder: The folder.

    Yields:
        The texts.
    """
    for path in sorted(folder.glob("*.parquet")):
        for text in pq.read_table(path, columns=["text"])["text"].to_pylist():
            yield LabelledText(text)
