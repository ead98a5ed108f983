"""Readers of corpora, one function for each file format.

Every reader yields `LabelledText`s: a text, the extents of its gold words, and whichever labels the corpus has. Readers open
their files when the first text is asked for, and text files may be packed with gzip (see `open_text`).
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
    """One text with its gold labels; a kind of label that is None is not known.

    Attributes:
        text: The text, as models get it.
        words: Extents of the words as (start, end), in code points.
        tags: BIO tag of each word.
        upos: Universal part of speech of each word.
        sentiment: 0 negative, 1 neutral, 2 positive.
        spans: Entities as (start, end, type), in code points, where the corpus gives their extents; `tags` then say the same of
            `words`.
    """

    text: str
    words: tuple[tuple[int, int], ...] = ()
    tags: tuple[str, ...] | None = None
    upos: tuple[str, ...] | None = None
    sentiment: int | None = None
    spans: tuple[tuple[int, int, str], ...] | None = None


def open_text(path: Path) -> io.TextIOBase:
    """Open a file, or its gzip-packed form if that is there, as UTF-8 text with line ends kept as they are.

    Args:
        path: The file without or with its suffix `.gz`.

    Returns:
        The open stream, which the caller closes.

    Raises:
        DataMissingError: Neither the file nor its packed form is there.
    """
    packed = path if path.suffix == ".gz" else path.with_name(path.name + ".gz")
    if packed.exists():
        return io.TextIOWrapper(gzip.open(packed), encoding="utf-8", newline="")
    if not path.exists():
        raise DataMissingError(f"{path}: no such file; point --data-dir at the folder that holds the corpora")
    return path.open(encoding="utf-8", newline="")


def lay_out(forms: list[str], space_after: list[bool]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Join words into a text and say where each of them lies.

    Args:
        forms: The words.
        space_after: Whether a space follows each word; none is put at the end of the text.

    Returns:
        The text, and the extent of each word as (start, end), in code points.
    """
    text, extents = [], []
    at = 0
    for form, space in zip(forms, space_after, strict=True):
        extents.append((at, at + len(form)))
        text.append(form + " " * space)
        at += len(form) + space
    return "".join(text).rstrip(" "), tuple(extents)


def to_bio(tags: list[str], fold: dict[str, str] | None = None) -> tuple[str, ...]:
    """Turn IO, IOB1 or BIO tags into BIO, with entity types renamed.

    Args:
        tags: Tag of each word of one text.
        fold: Entity type -> its new name; `O` makes its entities no entities. Types that are not named stay.

    Returns:
        BIO tag of each word.
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
    """Read the CoNLL format: a word on each line, its tag in the last column, and blank lines between sentences.

    Columns are apart by white space; lines that begin with `-DOCSTART-` are skipped.

    Args:
        path: The file, or the file without its suffix `.gz`.
        fold: Entity type -> its new name; `O` makes its entities no entities.

    Yields:
        The sentences, words apart by spaces, with entity tags.

    Raises:
        DataMissingError: The file is absent.
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
    """Read lines of word, BIO tag and the source's own tag, apart by tabs, with blank lines between sentences.

    The source's own tag is not used.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The sentences, words apart by spaces, with entity tags.

    Raises:
        DataMissingError: The file is absent.
    """
    for forms, tags in tabbed_sentences(path):
        text, extents = lay_out(forms, [True] * len(forms))
        yield LabelledText(text, extents, tags=to_bio(tags))


def tabbed_sentences(path: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Read the first two columns of lines apart by tabs, with blank lines between sentences.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The words of a sentence and what stands beside each.

    Raises:
        DataMissingError: The file is absent.
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
                yield forms, tags
                forms, tags = [], []


def conllu_sentences(path: Path) -> Iterator[list[list[str]]]:
    """Read the rows of each sentence of a CoNLL-U file, without comments and empty nodes.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The rows of a sentence, those of multiword tokens too, each of 10 fields.

    Raises:
        DataMissingError: The file is absent.
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
    """Read a treebank in CoNLL-U (Universal Dependencies), with words laid out as `SpaceAfter=No` says.

    The words of a multiword token are written without spaces between them. That is its surface form where the words are its parts
    (do + n't), and differs from it where they are not (de + le for du).

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The sentences with parts of speech; a tag that is not universal becomes X.

    Raises:
        DataMissingError: The file is absent.
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
    """Read lines of text, tab, and label: 0 is negative, 1 is positive.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The texts with sentiment.

    Raises:
        DataMissingError: The file is absent.
    """
    with open_text(path) as lines:
        for line in lines:
            text, _, label = line.rstrip("\r\n").rpartition("\t")
            yield LabelledText(text, sentiment=2 * int(label))


def read_labelled(path: Path) -> Iterator[LabelledText]:
    """Read lines of sentiment (one of SENTIMENTS), tab, and text; what follows behind another tab is not used.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The texts with sentiment.

    Raises:
        DataMissingError: The file is absent, or a line begins with something that is not a sentiment.
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
    """Read posts as JSON lines: `text`, `sentiment`, and `entities` with `label`, `start` and `end` in code points.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The posts with entity tags, spans and sentiment.

    Raises:
        DataMissingError: The file is absent.
    """
    with open_text(path) as lines:
        for line in lines:
            post = json.loads(line)
            spans = tuple((e["start"], e["end"], e["label"]) for e in post["entities"])
            words, tags = words_of_spans(post["text"], spans)
            yield LabelledText(post["text"], words, tags, sentiment=SENTIMENTS.index(post["sentiment"]), spans=spans)


def words_of_spans(text: str, spans: Sequence[tuple[int, int, str]]) -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
    """Cut a text into words so that entities begin and end at the bounds of words, and tag the words.

    A word is a run of letters and digits, or one other mark; it is cut further where an entity begins or ends inside it.

    Args:
        text: The text.
        spans: Entities as (start, end, type), in code points.

    Returns:
        Extents of the words as (start, end), and the BIO tag of each.
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
    """Read all records of a folder's files in the order of their names.

    Args:
        read: Reads one file.
        suffix: How the names of the files end; `.gz` may follow.
        folder: Folder that directly holds the files.

    Yields:
        The records of all files.

    Raises:
        DataMissingError: The folder holds no such file.
    """
    paths = sorted(p for p in folder.glob("*") if p.name.removesuffix(".gz").endswith(suffix))
    if not paths:
        raise DataMissingError(f"{folder}: no file ends in {suffix}; point --data-dir at the folder that holds the corpora")
    for path in paths:
        yield from read(path)


_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def read_semeval(path: Path) -> Iterator[LabelledText]:
    """Read lines of id, sentiment and tweet, apart by tabs.

    The tweet's CSV quotes, Unicode escapes and HTML escapes are undone.

    Args:
        path: The file, or the file without its suffix `.gz`.

    Yields:
        The tweets with sentiment.

    Raises:
        DataMissingError: The file is absent.
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
    """Read the CSV of tweets to US airlines, with HTML escapes undone.

    Args:
        path: The file, or the file without its suffix `.gz`; its columns `text` and `airline_sentiment` are used.

    Yields:
        The tweets with sentiment.

    Raises:
        DataMissingError: The file is absent.
    """
    with open_text(path) as lines:
        for row in csv.DictReader(lines):
            yield LabelledText(html.unescape(row["text"]), sentiment=SENTIMENTS.index(row["airline_sentiment"]))


def read_jsonl_texts(folder: Path) -> Iterator[LabelledText]:
    """Read the `text` of every line of every `*.jsonl.gz` below a folder, in the order of the paths.

    Args:
        folder: Folder that holds the files, at any depth.

    Yields:
        The texts, without labels; none if there is no file.
    """
    for path in sorted(folder.rglob("*.jsonl.gz")):
        with open_text(path) as lines:
            for line in lines:
                yield LabelledText(json.loads(line)["text"])


def read_parquet_texts(folder: Path) -> Iterator[LabelledText]:
    """Read the column `text` of every Parquet file of a folder, in the order of their names.

    Args:
        folder: Folder that directly holds the files.

    Yields:
        The texts, without labels; none if there is no file.
    """
    for path in sorted(folder.glob("*.parquet")):
        for text in pq.read_table(path, columns=["text"])["text"].to_pylist():
            yield LabelledText(text)
