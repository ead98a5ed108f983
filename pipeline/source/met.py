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
    """Documents, and what should have been one; `unread` are rows behind a place where a table could not be read on, by its
    footer. `broken`: reading ended there, with a dead letter that counts as one of the documents; `trouble` says of what kind
    that was, `why` in words; the latter also of a file of which only pieces could not be read.

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
        if fragment.rows is not None:
            self.unread = fragment.rows - self.documents
            self.noticed["lost_documents"] += max(0, self.unread - 1)
        self.lose(lost_bytes)
        self.documents += 1
        self.broken, self.trouble, self.why = True, trouble, why

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
        return fragment.rows is None or self.documents - self.broken + self.unread == fragment.rows
