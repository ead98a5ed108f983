"""Where what can be fetched or made again is kept for a user."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """Return our folder in the user's cache, as the XDG base directory specification has it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "textmill"
