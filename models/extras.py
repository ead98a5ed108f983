"""How an extra is installed beside this very installation: from a clone, from the wheel's file, or by name."""

from __future__ import annotations

import json
import os
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

NAME = "textmill"
_ROOT = Path(__file__).resolve().parent.parent


def install(extra: str) -> str:
    """Return the command that installs an extra.

    Args:
        extra: Name of the extra, or several with commas between them.

    Returns:
        For a clone, pip on its folder, with its pinned versions; for a wheel that was installed from a file or an address, pip on
        that; else pip on the name.
    """
    if (_ROOT / "setup.cfg").is_file():
        here = Path(os.path.relpath(_ROOT)) if _ROOT in (Path.cwd(), *Path.cwd().parents) else _ROOT
        pinned = shlex.quote(str(here / "constraints.txt"))
        return f"pip install --constraint {pinned} --editable {_quoted(f'{here}[{extra}]')}"
    origin = _origin()
    return f"pip install {_quoted(f'{NAME}[{extra}] @ {origin}' if origin else f'{NAME}[{extra}]')}"


def _origin() -> str:
    """Where pip got this package from, if not from an index (PEP 610)."""
    try:
        said = distribution(NAME).read_text("direct_url.json")
    except PackageNotFoundError:
        return ""
    return str(json.loads(said).get("url", "")) if said else ""


def _quoted(text: str) -> str:
    """Quoted always: shells read brackets as patterns."""
    return f"'{text}'" if "'" not in text else shlex.quote(text)
