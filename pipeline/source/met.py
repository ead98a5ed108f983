"""What a reader has met in a fragment, counted where it is read: whatever becomes of the documents, so many there were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.contract import Fragment

# broken: what the file holds cannot be read; denied: it may not be opened; gone, changed: it is not what was planned.
Trouble = Literal["broken", "denied", "gone", "changed"]


@dataclass(slots=True)
class Met:
    """Documents, and what should have been one; `unread` are rows behind a place where a table could not be read on, by its
    footer. `broken`: reading ended there, with a dead letter that counts as one of the documents; `trouble` says of what kind
    that was, `why` in words.
    """

    documents: int = 0
    unread: int = 0
    broken: bool = False
    trouble: Trouble = "broken"
    why: str = ""

    def stop(self, fragment: Fragment, why: str = "", trouble: Trouble = "broken") -> None:
        """The fragment cannot be read on: one dead letter stands for what is left of it."""
        if fragment.rows is not None:
            self.unread = fragment.rows - self.documents
        self.documents += 1
        self.broken, self.trouble, self.why = True, trouble, why

    def agrees(self, fragment: Fragment) -> bool:
        """Whether so many were met as the file's footer counts, where there is one."""
        return fragment.rows is None or self.documents - self.broken + self.unread == fragment.rows
