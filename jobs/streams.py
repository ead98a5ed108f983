"""What jobs say on standard error."""

from __future__ import annotations

import json
import sys

from pipeline.observe.progress import quiet


def note(text: str) -> None:
    """Write one line to standard error: plain text on a terminal, JSON elsewhere; nothing under `textmill --quiet`."""
    if not quiet.get():
        say(text if sys.stderr.isatty() else json.dumps({"event": "note", "text": text}))


def say(line: str) -> None:
    """Write a line to standard error in one piece: `print` writes its end apart, and another thread's line may come between.

    Args:
        line: The line, without its end.
    """
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
