"""Live progress: a line that renews itself on a terminal, one JSON line every few seconds elsewhere."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import TextIO

EVERY_S = 5.0


class Progress:
    """Counts documents, tokens and dead letters, and shows them on `stream` (standard error)."""

    def __init__(self, total_files: int, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._files, self._began, self._said = total_files, time.monotonic(), time.monotonic()
        self.documents = self.tokens = self.dead = 0

    def add(self, documents: int, tokens: int, dead: int) -> None:
        self.documents += documents
        self.tokens += tokens
        self.dead += dead
        now = time.monotonic()
        if now - self._said >= (0.2 if self._live else EVERY_S):
            self._said = now
            self._show(now - self._began)

    def _show(self, seconds: float) -> None:
        if self._live:
            self._stream.write(
                f"\r{self.documents:,} documents  {self.documents / seconds:,.0f}/s  {self.tokens / seconds:,.0f} tokens/s  "
                f"{self.dead:,} dead letters  {seconds:.0f} s \x1b[K"
            )
        else:
            event = {
                "event": "progress",
                "documents": self.documents,
                "documents_s": round(self.documents / seconds, 1),
                "tokens_s": round(self.tokens / seconds, 1),
                "dead_letters": self.dead,
                "files": self._files,
                "seconds": round(seconds, 1),
            }
            self._stream.write(json.dumps(event) + "\n")
        self._stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
