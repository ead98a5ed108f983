"""A DuckDB that holds an output as tables, reads nothing else of this machine or any other, and cannot write.

DuckDB may open the listed files alone (`allowed_paths`), and after that nothing unlocks it. Files of this machine it reads
itself; those of other stores, and where a path cannot be written as one of its patterns, through the store.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from pipeline.errors import ConfigError, UnavailableError
from pipeline.export.parts_in_place import NO_TAGS, NOT_LEFT_OUT, PartsInPlace, parts_in_place
from pipeline.store.base import Entry, Store

SCHEME = "output"
_ENTITIES = "select id, source, created_at, lang, sentiment, unnest(entities) as one from tags"
_WORDS = "select id, source, created_at, lang, {text} as whole, unnest(words) as one from tags"
_VIEWS = {
    "entities": f'select * exclude (one), one.text, one.label, one.start, one."end", one.score from ({_ENTITIES})',
    "words": 'select * exclude (whole, one), substring(whole, one.start + 1, one."end" - one.start) as text, one.start, '
    f'one."end", one.pos from ({_WORDS})',
}


class OutputDatabase:
    """The tables `tags`, `entities`, `words`, `dead_letters` and `filtered` of an output; made by `output_database`.

    Args:
        con: DuckDB connection.
        parts: Which files the tables are of.
        files: How DuckDB calls each of them, by path.
        reads: The file system by which it reads them; None where it does so itself.

    Attributes:
        con: The connection.
        parts: Which files the tables are of.
    """

    def __init__(self, con: Any, parts: PartsInPlace, files: dict[str, str], reads: Any) -> None:
        self.con, self.parts = con, parts
        self._files, self._reads = files, reads

    def part(self, entry: Entry) -> str:
        """Name the documents of one part, with all columns that any part has, as a table.

        Args:
            entry: The part.

        Returns:
            SQL of the table.
        """
        return f"(select * from textmill.columns union all by name select * from {_read([self._files[entry.path]])})"

    def batches(self, sql: str, rows: int = 2_000) -> Generator[pa.RecordBatch, None, None]:
        """Ask for something that comes in batches, so that it need not fit into memory.

        Args:
            sql: One statement.
            rows: Rows of a batch, about.

        Yields:
            The batches; one without rows at least, by which the columns are known.

        Raises:
            ConfigError: DuckDB does not understand the statement, or cannot carry it out; says what DuckDB says.
            UnavailableError: A file could not be read: it has changed meanwhile, or the disk is full.
            StoreError: The store of the output fails.
        """
        with self.told():
            reader = self.con.sql(sql).to_arrow_reader(rows)
        with closing(reader):
            yield _none(reader.schema)
            while True:
                with self.told():
                    batch = next(reader, None)
                if batch is None:
                    return
                yield batch

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn errors of DuckDB in the body into the pipeline's own.

        Yields:
            Nothing.

        Raises:
            ConfigError: As `batches` has it.
            UnavailableError: As `batches` has it.
            StoreError: As `batches` has it.
        """
        import duckdb

        try:
            yield
        except duckdb.InterruptException as error:
            raise KeyboardInterrupt from error
        except (duckdb.Error, pa.ArrowException, OSError) as error:  # what goes wrong between two batches Arrow says as OSError
            if self._reads is not None and self._reads.failed is not None:
                raise self._reads.failed from error
            if isinstance(error, duckdb.IOException) or str(error).startswith("IO Error") or self._is_gone(str(error)):
                raise UnavailableError("tags", f"{error}; did they change meanwhile, is the disk full? Try again") from error
            raise ConfigError(str(error)) from error

    def _is_gone(self, message: str) -> bool:
        """Whether a file of ours is not there: DuckDB then looks for a folder of its name, which it may not."""
        return message.startswith("Permission Error") and any(f'"{file}/' in message for file in self._files.values())


def _none(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


@contextmanager
def output_database(store: Store) -> Iterator[OutputDatabase]:
    """Open a DuckDB in memory over the parts of an output that are in place.

    What does not fit into memory goes to a temporary folder, which is removed at the end. Times are in UTC.

    Args:
        store: The output.

    Yields:
        The database.

    Raises:
        OutputError: This is no output of `textmill tag`, or a file of it is no part.
        StoreError: The store fails.
    """
    import duckdb

    parts = parts_in_place(store)
    files = _patterns(store, parts.files)
    reads = None
    if files is None:
        from pipeline.export.output_files import OutputFiles

        files = {entry.path: f"{SCHEME}://{entry.path}" for entry in parts.files}
        reads = OutputFiles(store, parts.files, SCHEME)
    # Without the last a name that is no table would be looked for among this program's variables.
    off = ("autoinstall_known_extensions", "autoload_known_extensions", "python_enable_replacements")
    settings: dict[str, str | bool | int | float | list[str]] = dict.fromkeys(off, False)
    with TemporaryDirectory(prefix="textmill-sql-") as scratch, closing(duckdb.connect(":memory:", config=settings)) as con:
        if reads is not None:
            con.register_filesystem(reads)
        database = OutputDatabase(con, parts, files, reads)
        with database.told():
            con.execute(f"set timezone = 'UTC'; set enable_progress_bar = false; set temp_directory = {_text(scratch)}")
            _make_tables(con, parts, files)
            allowed = [str(path) for entry in parts.files if (path := store.local_path(entry.path)) is not None]
            con.execute(f"set allowed_paths = {_list([*allowed, *files.values()])}")
            con.execute("set enable_external_access = false; set lock_configuration = true")
        yield database


def _make_tables(con: Any, parts: PartsInPlace, files: dict[str, str]) -> None:
    for name, entries, empty in (
        ("tags", parts.tags, NO_TAGS),
        ("dead_letters", parts.dead_letters, NOT_LEFT_OUT),
        ("filtered", parts.filtered, NOT_LEFT_OUT),
    ):
        if entries:
            names = [files[entry.path] for entry in entries]
            con.execute(f"create view {name} as select * from {_read(names, name == 'tags' and parts.differ)}")
        else:
            con.register("nothing", empty.empty_table())
            con.execute(f"create table {name} as select * from nothing")
            con.unregister("nothing")
    con.execute("create schema textmill; create table textmill.columns as select * from tags limit 0")
    text = "text" if "text" in parts.columns else "null::varchar"
    for name, sql in _VIEWS.items():
        con.execute(f"create view {name} as {sql.format(text=text)}")


def _patterns(store: Store, entries: Sequence[Entry]) -> dict[str, str] | None:
    """A pattern of DuckDB for each file, which nothing else matches, by path; None if one has none."""
    found = {}
    for entry in entries:
        text = str(path) if (path := store.local_path(entry.path)) is not None else None
        if text is None or ("\\" in text and re.search(r"[*?[]", text)):
            return None
        found[entry.path] = re.sub(r"([*?[])", r"[\1]", text)
    return found


def _read(names: Sequence[str], differ: bool = False) -> str:
    # Folders like lang=zh above the output say nothing of its columns.
    return f"read_parquet({_list(names)}, hive_partitioning = false, union_by_name = {str(differ).lower()})"


def _list(names: Sequence[str]) -> str:
    return f"[{', '.join(map(_text, names))}]"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
