"""What a reader of text makes of a file, item by item: records, and what was lost where one should have been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Record(NamedTuple):
    """A record: the bytes `position` to `end` of the plain file, of which `raw` are the first."""

    position: int
    end: int
    values: Mapping[str, Any]
    raw: bytes
    replaced: int = 0  # characters that could not be decoded


@dataclass(frozen=True, slots=True)
class Lost:
    """What cannot be a record: one dead letter. `lost` are bytes that may have been more than one record; `rest` is the line
    behind them, which may be the end of a record.
    """

    position: int
    end: int
    reason: str
    message: str
    raw: bytes = b""
    lost: int = 0
    rest: bytes = b""


@dataclass(frozen=True, slots=True)
class Gap:
    """Stands between the pieces of a packed file for what could not be unpacked: about so many plain bytes, 0 if nobody knows."""

    message: str
    lost: int = 0


Item = Record | Lost


class FileRefusedError(Exception):
    """A file that is not read, and why."""
