"""What jobs say on standard error."""

from __future__ import annotations

import json
import sys


def note(text: str) -> None:
    """Write one line to standard error: plain text on a terminal, JSON elsewhere."""
    print(text if sys.stderr.isatty() else json.dumps({"event": "note", "text": text}), file=sys.stderr, flush=True)
