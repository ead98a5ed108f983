"""Live progress: a line that renews itself on a terminal, one JSON line every few seconds elsewhere."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Any, TextIO

EVERY_S = 5.0
LIVE_S = 0.2


class Progress:
    """Counts documents, tokens, dead letters and filtered ones, and shows them on `stream` (standard error)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._began = self._said = time.monotonic()
        self._planned = self._finished = self._begun = 0
        self._splits = self._all_splits = 0
        self.documents = self.tokens = self.dead_letters = self.filtered = 0
        self.fleet: dict[str, Any] = {}  # what is to be told of the workers
        self.limits = ""  # the stage that limits the run

    def expect(self, tokens: int, splits: int) -> None:
        """More work: predicted tokens, and in how many splits."""
        self._planned += tokens
        self._all_splits += splits

    def part(self, predicted: int) -> None:
        """A split is done, of which so many tokens were predicted."""
        self._splits += 1
        self._finished += predicted
        self._begun = 0

    def add(self, documents: int, tokens: int, dead_letters: int, filtered: int, predicted: int = 0) -> None:
        """Work that is done: `tokens` that the model computed, `predicted` ones of what was read of a split so far."""
        self._begun += predicted
        self.documents += documents
        self.tokens += tokens
        self.dead_letters += dead_letters
        self.filtered += filtered
        self.show()

    def show(self) -> None:
        """Show how far it is, if it is time."""
        now = time.monotonic()
        if now - self._said >= (LIVE_S if self._live else EVERY_S):
            self._said = now
            self._show()

    def say(self, line: str) -> None:
        """A line of its own."""
        if self._live:
            self._stream.write(f"\r\x1b[K{line}\n")
        else:
            self._stream.write(json.dumps({"event": "note", "text": line}) + "\n")
        self._stream.flush()

    def _show(self) -> None:
        if not self._live:
            self._stream.write(json.dumps({"event": "progress", **self.state()}) + "\n")
        else:
            state = self.state()
            left = "" if state["seconds_left"] is None else f"about {duration(state['seconds_left'])} left  "
            fleet = (
                f"{self.fleet['workers']} workers, {self.fleet['leases']} leases  " if self.fleet.get("workers", 1) > 1 else ""
            )
            self._stream.write(
                f"\r{state['done']:4.0%}  {self.documents:,} documents  {state['documents_s']:,.0f}/s  "
                f"{state['tokens_s']:,.0f} tokens/s  part {self._splits}/{self._all_splits}  {fleet}{left}"
                f"{self.limits + ' limits  ' if self.limits else ''}{self.dead_letters:,} dead letters \x1b[K"
            )
        self._stream.flush()

    def state(self) -> dict[str, Any]:
        """How far the run is, as JSON."""
        seconds = time.monotonic() - self._began
        # What is done is told in predicted tokens, as what is planned: equal texts are computed only once.
        done = min(self._planned, self._finished + self._begun)
        left = (self._planned - done) * seconds / done if done else None
        return {
            "documents": self.documents,
            "documents_s": round(self.documents / seconds, 1),
            "tokens": self.tokens,
            "done": round(done / max(1, self._planned), 4),
            "tokens_s": round(self.tokens / seconds, 1),
            "parts": self._splits,
            "parts_planned": self._all_splits,
            "dead_letters": self.dead_letters,
            "filtered": self.filtered,
            "seconds": round(seconds, 1),
            "seconds_left": None if left is None else round(left, 1),
            "limits": self.limits,
            **self.fleet,
        }

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
