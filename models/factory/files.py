"""Files that are whole or absent: written under another name, then renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole: a kill leaves the old one or the new one.

    Args:
        path: The file.
        write: Fills the file beside it whose path it gets.
    """
    part = path.with_name(path.name + ".part")
    write(part)
    os.replace(part, path)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all.

    Args:
        path: The file.
        value: Of JSON.
    """
    write_whole(path, lambda part: part.write_text(json.dumps(value, indent=1) + "\n"))


def read_json(path: Path) -> Any:
    """Return the value of a JSON file, or None if there is no such file.

    Args:
        path: The file.
    """
    return json.loads(path.read_text()) if path.exists() else None
