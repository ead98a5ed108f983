"""Where what can be fetched or made again is kept for a user: speech weights, indexes, converted models."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return `$TEXTMILL_CACHE`, or else our folder in the user's cache, as the XDG base directory specification has it."""
    if given := os.environ.get("TEXTMILL_CACHE", ""):
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "textmill"
