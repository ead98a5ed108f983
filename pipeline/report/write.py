"""The files of a report: Parquet and CSV, written under another name and published in one step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.store.base import Store

# What a spreadsheet opens; the Parquet file holds all rows.
CSV_ROWS = 1_000_000
BOM = b"\xef\xbb\xbf"
# A cell that begins so is a formula to a spreadsheet (OWASP, CSV Injection); full-width signs are to some.
_FORMULA = r"^([=+\-@\t\r\n\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}])"


@dataclass(frozen=True, slots=True)
class Written:
    """A file of a report.

    Attributes:
        rows: Its rows, 0 for a page.
        sha256: Of its bytes.
    """

    rows: int
    sha256: str


class _Hashed:
    """A stream that knows the digest of what went through it."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._digest, self.closed = stream, hashlib.sha256(), False

    def write(self, data: Any) -> int:
        self._digest.update(data)
        self._stream.write(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self.closed = True

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def harmless(table: pa.Table) -> pa.Table:
    """Return a table with ' in front of strings that a spreadsheet would take for formulas.

    Args:
        table: The table.
    """
    for number, field in enumerate(table.schema):
        if field.type == pa.string():
            column = pc.replace_substring_regex(table[field.name], pattern=_FORMULA, replacement=r"'\1")
            table = table.set_column(number, field, column)
    return table


def write_table(store: Store, folder: str, name: str, schema: pa.Schema, pieces: Iterable[pa.Table]) -> dict[str, Written]:
    """Write NAME.parquet and NAME.csv; the latter holds the first CSV_ROWS rows.

    Args:
        store: Where the report is.
        folder: Of its files.
        name: Of the table.
        schema: Of the table.
        pieces: The table.

    Returns:
        The files, by name.
    """
    rows = 0
    with ExitStack() as stack:
        streams = [stack.enter_context(store.create_exclusive(f"{folder}/{name}.{kind}")) for kind in ("parquet", "csv")]
        whole, sheet = map(_Hashed, streams)
        sheet.write(BOM)
        parquet = stack.enter_context(pq.ParquetWriter(pa.PythonFile(whole, "w"), schema, compression="zstd"))
        options = pa.csv.WriteOptions(quoting_style="needed")
        csv = stack.enter_context(pa.csv.CSVWriter(pa.PythonFile(sheet, "w"), schema, write_options=options))
        for piece in pieces:
            parquet.write_table(piece)
            csv.write_table(harmless(piece.slice(0, max(0, CSV_ROWS - rows))))
            rows += piece.num_rows
    return {
        f"{name}.parquet": Written(rows, whole.sha256),
        f"{name}.csv": Written(min(rows, CSV_ROWS), sheet.sha256),
    }


def write_bytes(store: Store, folder: str, name: str, data: bytes) -> dict[str, Written]:
    """Write one small file.

    Args:
        store: Where the report is.
        folder: Of its files.
        name: Of the file.
        data: Its bytes.

    Returns:
        The file, by name.
    """
    with store.create_exclusive(f"{folder}/{name}") as stream:
        stream.write(data)
    return {name: Written(0, hashlib.sha256(data).hexdigest())}
