"""JSON lines, plain or gzip, as blocks of documents; what is no document becomes a dead letter."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from pipeline.contract import Block, DeadLetter
from pipeline.errors import ConfigError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz")
BLOCK_ROWS = 4096
BLOCK_CHARACTERS = 1 << 20
MAX_LINE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Columns:
    """Which keys of a line are the text, the id (None: made from path and line) and carried through."""

    text: str = "text"
    id: str | None = None
    keep: tuple[str, ...] = ()


def discover(source: Path) -> list[Path]:
    """The files of the input, sorted: itself, or all JSON-lines files below the folder that are not hidden.

    Raises ConfigError if there are none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ConfigError(f"{source}: no such file or folder")
    files = sorted(
        path
        for path in source.rglob("*")
        if path.is_file()
        and path.name.endswith(SUFFIXES)
        and not any(part.startswith((".", "_")) for part in path.relative_to(source).parts)
    )
    if not files:
        raise ConfigError(f"{source}: no JSON-lines files in it (names that end in {', '.join(SUFFIXES)})")
    return files


def _as_string(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


class _Lines:
    """Collects the documents of one file into blocks."""

    def __init__(self, name: str, columns: Columns) -> None:
        # A file name need not be UTF-8; Arrow strings must be.
        self.name, self.columns = name.encode("utf-8", "replace").decode(), columns
        self._begin()

    def _begin(self) -> None:
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.kept: dict[str, list[str | None]] = {name: [] for name in self.columns.keep}
        self.dead: list[DeadLetter] = []
        self.characters = 0

    def kill(self, line: int, reason: str, detail: str = "") -> None:
        self.dead.append(DeadLetter(self.name, line, reason, detail))

    def add(self, number: int, raw: bytes) -> None:
        if not raw.strip():
            return
        if len(raw) > MAX_LINE_BYTES:
            return self.kill(number, "line too long", f"over {MAX_LINE_BYTES} bytes")
        try:
            record = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            return self.kill(number, "not UTF-8", f"byte {error.start} of the line")
        except json.JSONDecodeError as error:
            return self.kill(number, "not JSON", f"{error.msg} at character {error.pos}")
        except (RecursionError, ValueError) as error:
            return self.kill(number, "not JSON", type(error).__name__)
        text = record.get(self.columns.text) if isinstance(record, dict) else None
        if not isinstance(record, dict):
            return self.kill(number, "not an object", type(record).__name__)
        if not isinstance(text, str):
            return self.kill(number, "no text", f"{self.columns.text!r} is {type(text).__name__}")
        given = record.get(self.columns.id) if self.columns.id else None
        self.ids.append(_as_string(given) or f"{self.name}:{number}")
        self.texts.append(text)
        for name, values in self.kept.items():
            values.append(_as_string(record.get(name)))
        self.characters += len(text)

    def full(self) -> bool:
        return len(self.texts) + len(self.dead) >= BLOCK_ROWS or self.characters >= BLOCK_CHARACTERS

    def take(self) -> Block:
        table = pa.table({"id": pa.array(self.ids, pa.string()), **{n: pa.array(v, pa.string()) for n, v in self.kept.items()}})
        block = Block(self.texts, table, tuple(self.dead))
        self._begin()
        return block


def read_blocks(path: Path, name: str, columns: Columns) -> Iterator[Block]:
    """The blocks of one file; `name` is what dead letters and made ids call it.

    A file that cannot be read on (truncated gzip, I/O error) ends with a dead letter that says where.
    """
    lines = _Lines(name, columns)
    number = 0
    try:
        with _open(path) as stream:
            while raw := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                    while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                        pass
                lines.add(number, raw)
                if lines.full():
                    yield lines.take()
    except (OSError, EOFError, zlib.error) as error:
        lines.kill(number + 1, "file unreadable from here", f"{type(error).__name__}: {error}")
    if lines.texts or lines.dead:
        yield lines.take()


def _open(path: Path) -> IO[bytes]:
    if path.name.endswith(".gz"):
        return cast(IO[bytes], gzip.open(path))
    return path.open("rb")
