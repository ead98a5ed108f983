"""Text in, labels out: the Tagger, the shipped models, and the factory that makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.runtime.load import load
    from models.runtime.package import installed, open_package
    from models.runtime.schema import TAGS
    from models.runtime.tagger import Tagger

__all__ = ["TAGS", "Tagger", "installed", "load", "open_package"]

_HOMES = {
    "TAGS": "models.runtime.schema",
    "Tagger": "models.runtime.tagger",
    "load": "models.runtime.load",
    "installed": "models.runtime.package",
    "open_package": "models.runtime.package",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import models` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
