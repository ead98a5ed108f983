"""DuckDB over the tags of an output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from pipeline.errors import OutputError


@contextmanager
def tags_database(output: str) -> Iterator[Any]:
    """Open a DuckDB in memory, which fetches nothing from elsewhere.

    Args:
        output: Of which tags are read; names it in the error.

    Yields:
        The connection.

    Raises:
        OutputError: What it is asked in the body fails: the tags cannot be read.
    """
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = dict.fromkeys(
        ("autoinstall_known_extensions", "autoload_known_extensions"), False
    )
    try:
        with closing(duckdb.connect(":memory:", config=settings)) as con:
            yield con
    except duckdb.Error as error:
        raise OutputError(f"{output}: the tags cannot be read ({type(error).__name__}: {error})") from error
