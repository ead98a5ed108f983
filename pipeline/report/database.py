"""DuckDB as a report uses it: in memory, with a limit, beyond which it writes to a folder that goes with it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, ReportError, UnavailableError

# What Python, Arrow and the page need beside DuckDB.
OTHERS_MB = 500
LEAST_MB = 600
_PREFIX, _LOCK = "textmill-report-", "in-use"


@contextmanager
def database(memory_mb: int) -> Iterator[Any]:
    """Open an in-memory DuckDB that keeps this process near a memory limit and raises the pipeline's own errors.

    What does not fit is written to a temporary folder, which is removed at the end. DuckDB gets the limit less `OTHERS_MB`.

    Args:
        memory_mb: Memory limit of the whole process, MB.

    Yields:
        The connection.

    Raises:
        ConfigError: The limit is below `LEAST_MB`, what any report needs.
        ReportError: The limit is too low for these documents, or what is read is broken.
        UnavailableError: A file could not be read or written: it has changed meanwhile, or the disk is full.
    """
    import duckdb

    if memory_mb < LEAST_MB:
        raise ConfigError(f"--memory-mb {memory_mb}: a report needs {LEAST_MB} or more")
    with _scratch() as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_mb - OTHERS_MB}MB",
            "temp_directory": str(folder),
            "threads": len(os.sched_getaffinity(0)),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        con = duckdb.connect(":memory:", config=settings)
        con.execute("set enable_progress_bar = false")  # it would be written to stdout, into the result
        try:
            yield con
        except duckdb.OutOfMemoryException as error:
            raise ReportError(f"{memory_mb} MB do not do for these documents; give more with --memory-mb") from error
        except duckdb.IOException as error:
            raise UnavailableError("tags", f"{error}; did they change meanwhile, is the disk full? Try again") from error
        except duckdb.Error as error:
            raise ReportError(f"the tags cannot be counted ({type(error).__name__}: {error})") from error
        finally:
            con.close()


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder that goes with this process; those that killed ones have left go first, told by a lock that nobody holds."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        with suppress(OSError), left.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as made:
        folder = Path(made)
        with (folder / _LOCK).open("xb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield folder
