"""Say how the input is read, for a run's announcement: which columns are what, which files have an unusual encoding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from pipeline.contract import DocumentSpec
from pipeline.source.dialect import NAMES

# So many formats are told of.
FORMATS_SHOWN = 4
_CHARACTERS = {name: char for char, name in NAMES.items()}
_UNUSUAL = {"files_in_": "in", "files_with_delimiter_": "delimited by", "files_with_escape_": "with quotes escaped by"}


def columns_used(used: Mapping[str, Counter[tuple[str, str]]], columns: DocumentSpec) -> Iterator[str]:
    """Say for each format which columns are read as text, id, time and source.

    Args:
        used: By format, how often which column was what: (role, column name).
        columns: How the input is read; tells whether times come of columns at all.

    Yields:
        A line per format, for the first FORMATS_SHOWN: `jsonl: text is text; id is id; time is created_at; no source`.
    """
    for kind, found in list(used.items())[:FORMATS_SHOWN]:
        words = []
        for role in ("text", "id", "time", "source"):
            names = sorted({name for of, name in found if of == role})
            words.append(f"{role} is {' or '.join(names)}" if names else f"no {role}")
        if columns.time_from != "column":
            words[2] = f"time is the {'date of the folder' if columns.time_from == 'folder' else 'date in the name'}"
        yield f"{kind}: {'; '.join(words)}"


def read_as(noticed: Mapping[str, int], files: int) -> str:
    """Say how many files are not UTF-8, not delimited by their format's usual character, or have escaped quotes.

    Args:
        noticed: Counts by name, of which those of `files_in_*`, `files_with_delimiter_*` and `files_with_escape_*` matter.
        files: How many files were looked into.

    Returns:
        A phrase; empty if there are no such files.
    """
    found = []
    for kind, words in _UNUSUAL.items():
        for name, count in noticed.items():
            if name.startswith(kind):
                what = name.removeprefix(kind)
                found.append(f"{count:,} {words} {what if words == 'in' else _quoted(_CHARACTERS.get(what, what))}")
    return f"read in another way than usual: {', '.join(found)}; of {files:,} files that were looked into" if found else ""


def _quoted(char: str) -> str:
    return f"'{char}'" if char.isprintable() else repr(char)
