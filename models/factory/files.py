"""Files that are whole or absent: written under another name, then renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name beside its place, then rename it, so that a kill leaves the old file or the new one.

    Args:
        path: The file; its folder must exist. What is there is replaced.
        write: Fills the file whose path it is given.
    """
    part = path.with_name(path.name + ".part")
    write(part)
    os.replace(part, path)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all.

    Args:
        path: The file; its folder must exist.
        value: Anything that `json` can write.
    """
    write_whole(path, lambda part: part.write_text(json.dumps(value, indent=1) + "\n"))


def read_json(path: Path) -> Any:
    """Read the value of a JSON file.

    Args:
        path: The file.

    Returns:
        The value; None if there is no such file.
    """
    return json.loads(path.read_text()) if path.exists() else None
