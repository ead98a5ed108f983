"""Live progress: a line that renews itself on a terminal, one JSON line every few seconds elsewhere."""

from __future__ import annotations

import json
import sys
import time
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TextIO

DOCUMENT_TOKENS = 200
EVERY_S = 5.0
LIVE_S = 0.2
# What the run waits for is said again after so many seconds, and so many times longer each time, up to the last of these.
AGAIN_S, LONGER, AGAIN_AT_MOST_S = 10.0, 2.0, 300.0
# Idle workers are told of when they have been idle for so long: by then none will get anything soon.
IDLE_S = 10.0
# Whether only what the user has to do something about is said.
quiet: ContextVar[bool] = ContextVar("quiet", default=False)


class Progress:
    """Counts documents, tokens, dead letters and filtered documents, and shows them.

    On a terminal it renews one line; elsewhere it writes a line of JSON every EVERY_S seconds. Where `quiet` is set it says only
    what the run waits for.

    Args:
        stream: Where to write; standard error if not given.

    Attributes:
        documents: Documents tagged.
        tokens: Tokens that the model computed.
        dead_letters: Documents that could not be tagged.
        filtered: Documents that were not meant to be tagged.
        fleet: What is to be told of the workers, as `view` got it last.
        limits: Stage that limits the run; "" as long as it is not known.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live, self._quiet = self._stream.isatty(), quiet.get()
        self._began = self._said = time.monotonic()
        self._planned = self._finished = self._begun = 0
        # When something was done for the first time, and how much that was: to start takes time that the rest will not take.
        self._first: tuple[float, int] | None = None
        self._splits = self._all_splits = 0
        self.documents = self.tokens = self.dead_letters = self.filtered = 0
        self.fleet: dict[str, Any] = {}  # what is to be told of the workers
        self.limits = ""  # the stage that limits the run
        self._waits = ""
        self._again_s, self._say_at = AGAIN_S, 0.0
        self._idle_since: float | None = None
        self._idle_said = False

    def expect(self, tokens: int, splits: int) -> None:
        """Add work that is planned.

        Args:
            tokens: Predicted tokens.
            splits: In how many splits.
        """
        self._planned += tokens
        self._all_splits += splits

    def part(self, predicted: int) -> None:
        """Count a split as done.

        Args:
            predicted: Tokens that were predicted for it.
        """
        self._splits += 1
        self._finished += predicted
        self._begun = max(0, self._begun - predicted)  # what others have begun stays

    def add(self, documents: int, tokens: int, dead_letters: int, filtered: int, predicted: int = 0) -> None:
        """Count work that is done, and show it if it is time.

        Args:
            documents: Documents tagged.
            tokens: Tokens that the model computed; texts that were known before cost none.
            dead_letters: Documents that could not be tagged.
            filtered: Documents that were not meant to be tagged.
            predicted: Tokens that were predicted for what was read of a split just now.
        """
        self._begun += predicted
        if self._first is None:
            self._first = time.monotonic(), self._done()
        self.documents += documents
        self.tokens += tokens
        self.dead_letters += dead_letters
        self.filtered += filtered
        self.show()

    def left(self) -> float:
        """Return how much work is left, as a multiple of what is done, both in predicted tokens.

        As long as nothing is done, DOCUMENT_TOKENS stands for it.
        """
        done = self._done()
        return (self._planned - done) / (done or DOCUMENT_TOKENS)

    def _done(self) -> int:
        """What is done, in predicted tokens, as what is planned: equal texts are computed only once."""
        return min(self._planned, self._finished + self._begun)

    def _seconds_left(self) -> float | None:
        """By the speed since the first time that something was done; before the second by that since the begin."""
        now, done = time.monotonic(), self._done()
        if not done:
            return None
        since, before = self._first or (self._began, 0)
        if done == before:
            since, before = self._began, 0
        return (self._planned - done) * (now - since) / (done - before)

    def show(self) -> None:
        """Show how far the run is, if the last time is long enough ago."""
        now = time.monotonic()
        if now - self._said >= (LIVE_S if self._live else EVERY_S) and not self._quiet:
            self._said = now
            self._show()

    def waits(self, why: str) -> None:
        """Say what the run waits for, now and at growing intervals as long as the wait goes on.

        Args:
            why: What it waits for, in words; "" ends the wait.
        """
        now = time.monotonic()
        if not why:
            if self._waits:
                self.say("a worker is alive, the run goes on")
            self._waits, self._again_s, self._say_at = "", AGAIN_S, 0.0
            return
        self._waits = why
        if now >= self._say_at:
            self._say_at, self._again_s = now + self._again_s, min(LONGER * self._again_s, AGAIN_AT_MOST_S)
            self._write(why)

    def view(self, fleet: dict[str, Any]) -> None:
        """Take over what is to be told of the workers; if some have been idle for IDLE_S seconds, say once how many, and why.

        Args:
            fleet: As `pipeline.fleet.driver.drive` gives it to `seen`.
        """
        now = time.monotonic()
        self.fleet = fleet
        if not (fleet.get("idle") and fleet.get("leases")) or fleet.get("waiting"):
            self._idle_since, self._idle_said = None, False
            return
        if self._idle_since is None:
            self._idle_since = now
        if now - self._idle_since >= IDLE_S and not self._idle_said:
            self._idle_said = True
            self.say(self._idle())

    def _idle(self) -> str:
        """Why workers are idle; "" if none has been for long."""
        if self._idle_since is None or time.monotonic() - self._idle_since < IDLE_S:
            return ""
        workers, parts = int(self.fleet["workers"]), int(self.fleet["parts_begun"])
        doing = "1 part is" if parts == 1 else f"{parts:,} parts are"
        cut = "; a packed file in it cannot be cut" if self.fleet.get("packed") else ""
        return f"{self.fleet['idle']:,} of {workers:,} workers idle: nothing is left to share, {doing} being done{cut}"

    def say(self, line: str) -> None:
        """Print one line that stays, above the line that renews itself.

        Args:
            line: For the user; elsewhere than on a terminal it becomes a line of JSON.
        """
        if not self._quiet:
            self._write(line)

    def _write(self, line: str) -> None:
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
        """Tell how far the run is.

        Returns:
            Figures ready for JSON: counts, speeds per second, `done` as a share of the predicted tokens, `seconds`,
            `seconds_left` (None as long as nothing is done), the limiting stage, what the run waits for, and all of `fleet`.
        """
        seconds = time.monotonic() - self._began
        done, left = self._done(), self._seconds_left()
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
            "waits": self._waits or self._idle(),
            **self.fleet,
        }

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def duration(seconds: float) -> str:
    """Return a duration in words, in its two largest units: "2 h 5 min", "3 min 20 s" or "7 s".

    Args:
        seconds: Duration; fractions are cut off.
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
