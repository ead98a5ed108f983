"""Documents as brat shows them: ID.txt with the text, ID.ann with its entities, and annotation.conf with their types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TextIO

from pipeline.export.tokens import RunCounts

# Bytes of a file's name that come of the id.
LONGEST_NAME = 120
_UNSAFE = re.compile(r"[^\w.-]+")
_NO_LABEL = re.compile(r"[^A-Za-z0-9_-]+")
_LINE = re.compile(r"[^\r\n]+")


class BratFolder:
    """A folder of two files a document.

    Args:
        path: The folder, which is made.
        counts: Added to.
    """

    def __init__(self, path: Path, counts: RunCounts) -> None:
        self._path, self._counts = path, counts
        self._labels: set[str] = set()
        # Ids that several documents have, with the number of the last.
        self._again: dict[str, int] = {}
        path.mkdir()

    def add(self, rows: Sequence[Sequence[Any]], _part: str) -> None:
        """Write documents.

        Args:
            rows: Id, text and entities of each.
        """
        for name, text, entities in rows:
            file = self._open(safe_name(name))
            with file:
                file.write(text)
            lines: list[str] = []
            for entity in entities:
                extents = list(_extents(text, entity["start"], entity["end"]))
                if not extents:
                    self._counts.left_out += 1
                    continue
                label = _NO_LABEL.sub("_", entity["label"])
                self._labels.add(label)
                places = ";".join(f"{start} {end}" for start, end in extents)
                said = " ".join(text[start:end] for start, end in extents)
                lines.append(f"T{len(lines) + 1}\t{label} {places}\t{said}\n")
            self._counts.entities += len(lines)
            Path(file.name).with_suffix(".ann").write_text("".join(lines), "utf-8", newline="")

    def _open(self, name: str) -> TextIO:
        """A new text under this name, or, if another document has it, under the name with a number."""
        for number in count(self._again.get(name, 0) + 1):
            path = self._path / (f"{name}.txt" if number == 1 else f"{name}-{number}.txt")
            try:
                stream = path.open("x", encoding="utf-8", newline="")
            except FileExistsError:
                continue
            if number > 1:
                self._again[name] = number
            return stream
        raise AssertionError("there is always another number")

    def finish(self) -> None:
        """Write which types there are."""
        labels = "\n".join(sorted(self._labels))
        text = f"[entities]\n{labels}\n\n[relations]\n\n[events]\n\n[attributes]\n"
        (self._path / "annotation.conf").write_text(text, "utf-8")

    def close(self) -> None:
        """Nothing is open."""


def safe_name(name: str) -> str:
    """Return the name of a file for an id: letters, digits, `.`, `-` and `_` of any script, not hidden and not too long.

    Args:
        name: The id.
    """
    safe = _UNSAFE.sub("_", name).lstrip(".-")
    return safe.encode()[:LONGEST_NAME].decode(errors="ignore") or "document"


def _extents(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where an entity stands, line by line: brat has no annotation over the end of a line."""
    return (match.span() for match in _LINE.finditer(text, start, end))
