"""What the reader of a text makes of a file, item by item: records, and what was lost where one should have been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Record(NamedTuple):
    """A record of a text.

    Attributes:
        position: Its first byte in the plain file.
        end: The byte behind it.
        values: By column name.
        raw: Its first bytes.
        replaced: Characters that could not be decoded.
    """

    position: int
    end: int
    values: Mapping[str, Any]
    raw: bytes
    replaced: int = 0  # characters that could not be decoded


@dataclass(frozen=True, slots=True)
class Lost:
    """Something that cannot be a record, for which one dead letter stands.

    Attributes:
        position: Its first byte in the plain file.
        end: The byte behind it.
        reason: A key of `pipeline.contract.REASONS`.
        message: What is wrong; never text of a document.
        raw: Its first bytes.
        lost: Bytes that may have been more than one record; 0 if it was one at most.
        rest: The line behind what is lost, which may be the end of a record or a whole one.
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
    """Stands between the plain bytes of a compressed file for what could not be decompressed.

    Attributes:
        message: What is wrong, in words.
        lost: About how many plain bytes are missing; 0 if that is unknown.
    """

    message: str
    lost: int = 0


Item = Record | Lost


class FileRefusedError(Exception):
    """A file is not read; the message says why."""
