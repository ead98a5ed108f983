"""Count what a reader meets in a fragment where it is read: whatever becomes of the documents, so many there were."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from pipeline.contract import Fragment

# broken: what the file holds cannot be read; denied: it may not be opened; gone, changed: it is not what was planned.
Trouble = Literal["broken", "denied", "gone", "changed"]
# A document's bytes, where none was read that would tell.
DOCUMENT_BYTES = 1000


@dataclass(slots=True)
class ReadCounts:
    """Counts of what was met: documents, and what should have been one.

    For each place that cannot be read, or for all from there on, one dead letter stands, which counts as one of the documents.

    Attributes:
        documents: Documents and dead letters.
        unread: Rows of a table that cannot be read, less the dead letters that stand for them, except one.
        broken: Whether something of the fragment could not be read at all.
        trouble: Of what kind that was.
        why: What is wrong, in words; also of a text of which only pieces could not be read.
        noticed: Counts of what is reported: `lost_bytes` of text that no record came of, and `lost_documents`, for which dead
            letters stand beside themselves. The latter are counted by a table's footer and, of text, by the mean size of the
            documents before.
        bytes: Bytes of the text's records, for that mean.
    """

    documents: int = 0
    unread: int = 0
    broken: bool = False
    trouble: Trouble = "broken"
    why: str = ""
    noticed: Counter[str] = field(default_factory=Counter)
    bytes: int = 0

    def stop(self, fragment: Fragment, why: str = "", trouble: Trouble = "broken", lost_bytes: int = 0) -> None:
        """Note that the fragment cannot be read on: one dead letter stands for what is left of it.

        Args:
            fragment: What is read; its rows, if the footer tells them, say how many are left.
            why: What is wrong, in words.
            trouble: Of what kind that is.
            lost_bytes: About how many bytes of text are left.
        """
        self.lose(lost_bytes)
        self.lose_rows(0 if fragment.rows is None else fragment.rows - self._rows, why)
        self.trouble, self.why = trouble, why

    def lose_rows(self, rows: int, why: str) -> None:
        """Note rows of a table that cannot be read: one dead letter stands for them.

        Args:
            rows: How many they are; 0 if that is unknown.
            why: What is wrong, in words.
        """
        self.noticed["lost_documents"] += max(0, rows - 1)
        self.unread += rows - self.broken
        self.documents += 1
        self.broken, self.why = True, self.why or why

    def damaged(self, why: str) -> None:
        """Note that a piece of the file cannot be read, but reading goes on behind it.

        Args:
            why: What is wrong, in words; the first one is kept.
        """
        self.why = self.why or why

    def lose(self, lost_bytes: int) -> None:
        """Note bytes of text that are lost: one dead letter stands for them.

        Args:
            lost_bytes: How many they are; 0 if nothing more is lost than the dead letter stands for.
        """
        if lost_bytes > 0:
            mean = self.bytes / self.documents if self.documents and self.bytes else DOCUMENT_BYTES
            self.noticed["lost_bytes"] += lost_bytes
            self.noticed["lost_documents"] += max(0, round(lost_bytes / mean) - 1)

    def take(self) -> Counter[str]:
        """Return what was noticed since the last call."""
        found = +self.noticed
        self.noticed.clear()
        return found

    def agrees(self, fragment: Fragment) -> bool:
        """Whether as many rows were met as the file's footer counts, if there is one.

        Args:
            fragment: What was read, to its end.
        """
        return fragment.rows is None or self._rows == fragment.rows

    @property
    def _rows(self) -> int:
        """Rows of a table that were met, read or not."""
        return self.documents - self.broken + self.unread
