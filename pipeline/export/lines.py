"""Documents as lines of text: JSON, CSV and CoNLL."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from pipeline.export.tokens import RunCounts, runs_of, tokens_of

_SPACE = re.compile(r"\s+")


class _LinesFile:
    """A file of text; `finish` makes it durable."""

    def __init__(self, path: Path) -> None:
        self.stream: TextIO = path.open("x", encoding="utf-8", newline="")

    def finish(self) -> None:
        """Make the file durable, and close it."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()

    def close(self) -> None:
        """Close the file, whole or not."""
        self.stream.close()


class JsonLinesFile(_LinesFile):
    """An object of JSON a line.

    Args:
        path: The file, which is made.
        names: Names of the columns.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        super().__init__(path)
        self._keys = [f"{_json(name)}:" for name in names]
        self._made = [name == "words" for name in names]

    def add(self, rows: Sequence[Sequence[Any]], _part: str) -> None:
        """Write documents.

        Args:
            rows: Their columns in the order of `names`; words are JSON already.
        """
        for row in rows:
            cells = zip(self._keys, self._made, row, strict=True)
            self.stream.write(f"{{{','.join(key + (value if made else _json(value)) for key, made, value in cells)}}}\n")


class CsvFile(_LinesFile):
    """A row a document, with a header.

    Args:
        path: The file, which is made.
        names: Names of the columns.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        super().__init__(path)
        self._rows = csv.writer(self.stream, lineterminator="\n")
        self._rows.writerow(names)

    def add(self, rows: Sequence[Sequence[Any]], _part: str) -> None:
        """Write documents.

        Args:
            rows: Their columns in the order of the header; None is written as nothing, lists and objects as JSON.
        """
        for row in rows:
            self._rows.writerow([_json(value) if isinstance(value, (list, dict)) else value for value in row])


class ConllFile(_LinesFile):
    """A word a line with its part of speech and its tag in the BIO scheme, a tab between them, an empty line after a document.

    Before each document stands a line `-DOCSTART-` with its id. Spaces within a word, a label or an id are written as `_`.

    Args:
        path: The file, which is made.
        counts: Added to.
    """

    def __init__(self, path: Path, counts: RunCounts) -> None:
        super().__init__(path)
        self._counts = counts

    def add(self, rows: Sequence[Sequence[Any]], _part: str) -> None:
        """Write documents.

        Args:
            rows: Id, text, entities and words of each.
        """
        for name, text, entities, words in rows:
            tokens = tokens_of(text, words)
            tags = ["O"] * len(tokens)
            for run in runs_of(tokens, entities, self._counts):
                label = _in_one(run.label)
                tags[run.first : run.last] = [f"B-{label}", *[f"I-{label}"] * (run.last - run.first - 1)]
            self.stream.write(f"-DOCSTART-\t{_in_one(name) or '-X-'}\tO\n\n")
            self.stream.writelines(
                f"{_in_one(text[token.start : token.end])}\t{_in_one(token.pos) or '_'}\t{tag}\n"
                for token, tag in zip(tokens, tags, strict=True)
            )
            self.stream.write("\n" if tokens else "")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _in_one(text: str) -> str:
    return _SPACE.sub("_", text)
