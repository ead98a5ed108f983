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
    """A file of a report that has been written.

    Attributes:
        rows: Its rows; 0 if it is no table.
        sha256: SHA-256 of its bytes, hexadecimal.
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
    """Return a table with an apostrophe in front of all strings that a spreadsheet would take for formulas.

    Args:
        table: Any table; columns that are not strings stay as they are.
    """
    for number, field in enumerate(table.schema):
        if field.type == pa.string():
            column = pc.replace_substring_regex(table[field.name], pattern=_FORMULA, replacement=r"'\1")
            table = table.set_column(number, field, column)
    return table


def write_table(store: Store, folder: str, name: str, schema: pa.Schema, pieces: Iterable[pa.Table]) -> dict[str, Written]:
    """Write NAME.parquet with all rows, and NAME.csv with the first `CSV_ROWS` of them.

    The CSV file is meant for spreadsheets: it begins with a byte order mark, and its strings are `harmless`.

    Args:
        store: Store of the report.
        folder: Folder of the report's files, below the store's root.
        name: Name of the table.
        schema: Schema of the table.
        pieces: The table's rows in order, in tables of this schema.

    Returns:
        The two files, by file name.

    Raises:
        TakenError: There is already a file of that name.
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
        store: Store of the report.
        folder: Folder of the report's files, below the store's root.
        name: Name of the file.
        data: Its bytes.

    Returns:
        The file, by its name.

    Raises:
        TakenError: There is already a file of that name.
    """
    with store.create_exclusive(f"{folder}/{name}") as stream:
        stream.write(data)
    return {name: Written(0, hashlib.sha256(data).hexdigest())}
