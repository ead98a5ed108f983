"""Parquet parts that appear under their final name only when they are whole."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract import DEAD_LETTERS, DeadLetter, Tagged
from pipeline.errors import OutputError

PART_ROWS = 50_000
TAGS, DEAD, STAGING, SUMMARY = "tags", "dead_letters", "_staging", "summary.json"


class PartWriter:
    """Writes a run's output folder: `tags/part-NNNNN.parquet`, `dead_letters/part-00000.parquet`, `summary.json`."""

    def __init__(self, output: Path, schema: pa.Schema, metadata: dict[str, str], overwrite: bool = False) -> None:
        """Raises OutputError if the folder holds a run already, or anything, and `overwrite` is not given.

        `overwrite` removes what an earlier run wrote, nothing else.
        """
        self.output, self._schema = output, schema.with_metadata(metadata)
        self.rows, self.parts = 0, 0
        if output.is_file():
            raise OutputError(f"{output} is a file; name a folder")
        mine = [output / name for name in (TAGS, DEAD, STAGING, SUMMARY)]
        if overwrite:
            for path in mine:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        elif any(path.exists() for path in mine):
            kind = "the output of a run" if (output / SUMMARY).exists() else "an unfinished run"
            raise OutputError(f"{output} holds {kind}; name another folder, or give --overwrite to begin anew")
        (output / TAGS).mkdir(parents=True)
        (output / STAGING).mkdir()
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._dead: list[DeadLetter] = []

    def write(self, tagged: Tagged) -> None:
        """Take the rows of a block; a part is written whenever there are enough."""
        self._waiting.append(tagged.table)
        self._waiting_rows += tagged.table.num_rows
        self._dead += tagged.dead
        if self._waiting_rows >= PART_ROWS:
            self._flush()

    @property
    def dead(self) -> int:
        return len(self._dead)

    def _flush(self) -> None:
        table = pa.concat_tables(self._waiting).cast(self._schema)
        self._publish(table, Path(TAGS) / f"part-{self.parts:05d}.parquet")
        self.parts += 1
        self.rows += table.num_rows
        self._waiting, self._waiting_rows = [], 0

    def _publish(self, table: pa.Table, name: Path) -> None:
        staged, final = self.output / STAGING / name.name, self.output / name
        pq.write_table(table, staged, compression="zstd", row_group_size=10_000)
        if pq.read_metadata(staged).num_rows != table.num_rows:
            raise OutputError(f"{staged}: fewer rows in the file than were written; is the disk full?")
        os.link(staged, final)  # fails if the name is taken, unlike a rename
        staged.unlink()

    def finish(self) -> int:
        """Write what waits; gives the number of parts. A run without a document writes one empty part."""
        if self._waiting_rows or not self.parts:
            self._waiting = self._waiting or [self._schema.empty_table()]
            self._flush()
        return self.parts

    def close(self, summary: dict[str, Any]) -> Path:
        """Write the dead letters and the summary, after `finish`; gives the summary's path."""
        if self._dead:
            (self.output / DEAD).mkdir()
            columns = zip(*((d.path, d.line, d.reason, d.detail) for d in self._dead), strict=True)
            table = pa.Table.from_arrays([pa.array(list(c)) for c in columns], schema=DEAD_LETTERS)
            self._publish(table, Path(DEAD) / "part-00000.parquet")
        (self.output / STAGING).rmdir()
        path = self.output / SUMMARY
        part = path.with_suffix(".part")
        part.write_text(json.dumps(summary, indent=1) + "\n")
        os.replace(part, path)
        return path
