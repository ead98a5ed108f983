"""A store by the name that a user gives it."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.store.base import Store
from pipeline.store.local import LocalStore

_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*)://", re.IGNORECASE)


def open_store(url: str) -> Store:
    """The store below a path of this machine. Raises ConfigError for a scheme that no backend serves."""
    if scheme := _SCHEME.match(url):
        if scheme[1].lower() != "file":
            raise ConfigError(f"{url}: no store for {scheme[1]}://")
        url = url[len("file://") :]
    return LocalStore(Path(url).resolve())
