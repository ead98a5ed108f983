"""What must not be shown of a setting's value: passwords, tokens and what goes by such a name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

# As pydantic shows a SecretStr.
MASK = "**********"
_NAMES = "pass|pwd|secret|token|credential|key|auth|signature"
_NAMED = re.compile(_NAMES, re.IGNORECASE)
# What stands before the host of a URL; also with a / in the password, which a URL cannot have, but people write.
_BEFORE_HOST = re.compile(r"(?<=://)(?:[^/\s]*@|[^/@:\s]*:(?!\d*/)\S*@)")
_IN_QUERY = re.compile(rf"([?&][^=&#\s]*(?:{_NAMES})[^=&#\s]*=)[^&#\s]+", re.IGNORECASE)


def masked(value: Any) -> Any:
    """Replace secrets by asterisks: secret strings, names and passwords in URLs, entries of tables with a name such as API_TOKEN.

    Args:
        value: Value of a setting.

    Returns:
        The value as it may be shown; paths as strings, tuples as lists.
    """
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, str | Path):
        return _IN_QUERY.sub(rf"\1{MASK}", _BEFORE_HOST.sub(f"{MASK}@", str(value)))
    if isinstance(value, Mapping):
        return {key: MASK if _hides(key, inner) else masked(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [masked(one) for one in value]
    return value


def _hides(key: str, value: Any) -> bool:
    return isinstance(value, str) and _NAMED.search(key) is not None
