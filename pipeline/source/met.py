"""What a reader has met in a fragment, counted where it is read: whatever becomes of the documents, so many there were."""

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
class Met:
    """Documents, and what should have been one. `broken`: something of it could not be read; for each such place, or all from
    there on, a dead letter stands, which counts as one of the documents. `unread` are the rows of a table that are missing so, by
    its footer, less those dead letters, but for one. `trouble` says of what kind that was, `why` in words; the latter also of a
    text of which only pieces could not be read.

    `noticed` counts what is told of beside: `lost_bytes` of text that no record came of, and `lost_documents`, which dead letters
    stand for beside themselves: of a table by its footer, of text by the mean of the documents before.
    """

    documents: int = 0
    unread: int = 0
    broken: bool = False
    trouble: Trouble = "broken"
    why: str = ""
    noticed: Counter[str] = field(default_factory=Counter)
    bytes: int = 0

    def stop(self, fragment: Fragment, why: str = "", trouble: Trouble = "broken", lost_bytes: int = 0) -> None:
        """The fragment cannot be read on: one dead letter stands for what is left of it, about so many bytes of text."""
        self.lose(lost_bytes)
        self.lose_rows(0 if fragment.rows is None else fragment.rows - self._rows, why)
        self.trouble, self.why = trouble, why

    def lose_rows(self, rows: int, why: str) -> None:
        """So many rows of a table cannot be read, 0 if nobody knows how many: one dead letter stands for them."""
        self.noticed["lost_documents"] += max(0, rows - 1)
        self.unread += rows - self.broken
        self.documents += 1
        self.broken, self.why = True, self.why or why

    def damaged(self, why: str) -> None:
        """A piece of the file cannot be read; reading goes on behind it."""
        self.why = self.why or why

    def lose(self, lost_bytes: int) -> None:
        """So many bytes of text are lost, for which one dead letter stands."""
        if lost_bytes > 0:
            mean = self.bytes / self.documents if self.documents and self.bytes else DOCUMENT_BYTES
            self.noticed["lost_bytes"] += lost_bytes
            self.noticed["lost_documents"] += max(0, round(lost_bytes / mean) - 1)

    def take(self) -> Counter[str]:
        """What was noticed since the last time."""
        found = +self.noticed
        self.noticed.clear()
        return found

    def agrees(self, fragment: Fragment) -> bool:
        """Whether so many were met as the file's footer counts, where there is one."""
        return fragment.rows is None or self._rows == fragment.rows

    @property
    def _rows(self) -> int:
        """Rows of a table that were met, read or not."""
        return self.documents - self.broken + self.unread
