"""What a reader has met in a fragment, counted where it is read: whatever becomes of the documents, so many there were."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.contract import Fragment


@dataclass(slots=True)
class Met:
    """Documents, and what should have been one; `unread` are rows behind a place where a table could not be read on, by its
    footer. `broken`: reading ended there, with a dead letter that counts as one of the documents.
    """

    documents: int = 0
    unread: int = 0
    broken: bool = False

    def stop(self, fragment: Fragment) -> None:
        """The fragment cannot be read on: one dead letter stands for what is left of it."""
        if fragment.rows is not None:
            self.unread = fragment.rows - self.documents
        self.documents += 1
        self.broken = True

    def agrees(self, fragment: Fragment) -> bool:
        """Whether so many were met as the file's footer counts, where there is one."""
        return fragment.rows is None or self.documents - self.broken + self.unread == fragment.rows
