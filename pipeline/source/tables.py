"""Read tables (Parquet, Arrow, ORC, Avro) in a child process of bounded memory: a corrupt file ends that, not the run."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING

from pipeline import errors
from pipeline.contract import DocumentSpec, Fragment, document_spec_from
from pipeline.errors import UnavailableError
from pipeline.faults import point
from pipeline.pipes import NoAnswerError, read_in_time, write_all
from pipeline.source.avro import check_installed
from pipeline.source.damaged import Damaged
from pipeline.source.read_counts import ReadCounts
from pipeline.source.table_files import Rows, rows_of
from pipeline.store.open import open_store
from pipeline.store.settings import StoreConfig

if TYPE_CHECKING:
    from pipeline.source.blocks import BlockBuilder
    from pipeline.store.base import Store

CHILD_BYTES = 8 << 30
# So long a reader may be silent; what its consumer takes does not count.
CHILD_S = 300.0
# A frame: of which kind it is, and the size of the JSON that follows: rows, or those that are damaged, or an error; 0 if there is
# none.
_HEAD = struct.Struct("<qQ")
_ROWS, _DAMAGED, _END = 0, 1, -1
# These do not come of what a file holds.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_COMMAND = [sys.executable, "-m", "pipeline.source.tables"]


def read_table(store: Store, fragment: Fragment, builder: BlockBuilder, met: ReadCounts) -> Iterator[int]:
    """Add the rows of a table to a builder, and count them.

    Args:
        store: Holds the file.
        fragment: What is to be read.
        builder: Takes the rows, and a dead letter for those that are damaged.
        met: Is added to: rows, and what is lost.

    Yields:
        After each row or damaged range, the number of the row behind it.

    Raises:
        OSError: The file is corrupt, or cannot be read.
        StoreError: The store cannot read the file.
        UnavailableError: The child was killed from outside, or gave no answer for CHILD_S seconds.
        ModuleNotFoundError: The format needs an extra that is not installed.
    """
    if fragment.format == "avro":
        check_installed()
    with contextlib.closing(_child_rows(store, fragment, builder.columns)) as found:
        for rows in found:
            if isinstance(rows, Damaged):
                met.lose_rows(rows.rows, rows.why)
                some = f"; {rows.rows:,} rows are lost" if rows.rows else ""
                builder.kill(rows.first, "file_unreadable", f"{rows.why}{some}")
                yield rows.first + max(1, rows.rows)
                continue
            met.documents += rows.size
            builder.count(rows.counts)
            for name in rows.typed:
                rows.columns[name] = [value and _moment(value) for value in rows.columns[name]]
            values = zip(*rows.columns.values(), strict=True) if rows.columns else [()] * rows.size
            for number, row in enumerate(values, rows.first):
                builder.add(number, dict(zip(rows.columns, row, strict=True)))
                yield number + 1


def _moment(value: str) -> date:
    return datetime.fromisoformat(value) if "T" in value else date.fromisoformat(value)


class _Child:
    """A process that reads tables; one a thread, kept from file to file."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        with _lock:
            _all.add(self)

    def ask(self, request: bytes) -> None:
        """Raises BrokenPipeError if it is dead."""
        assert self.process.stdin is not None
        write_all(self.process.stdin.write, request)

    def frame(self) -> tuple[int, bytes] | None:
        """What it says next, None if it has ended. Raises NoAnswerError after CHILD_S seconds in which nothing came."""
        stream = self.process.stdout
        assert stream is not None
        head = read_in_time(stream, _HEAD.size, CHILD_S)
        if head is None:
            return None
        kind, size = _HEAD.unpack(head)
        data = read_in_time(stream, size, CHILD_S)
        return None if data is None else (kind, data)

    def stop(self) -> int:
        """End it; gives the exit code, of a process that had ended before that one."""
        with _lock:
            _all.discard(self)
        code = self.process.poll()
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        last = self.process.wait()
        return last if code is None else code


_idle: list[_Child] = []
_all: set[_Child] = set()
_lock = threading.Lock()


def stop_reader_processes() -> None:
    """End all child processes: those that wait for a file, and those whose reader was abandoned."""
    with _lock:
        _idle.clear()
        left = list(_all)
    for child in left:
        child.process.kill()
        child.stop()


def _child_rows(store: Store, fragment: Fragment, columns: DocumentSpec) -> Generator[Rows | Damaged, None, None]:
    with _lock:
        child = _idle.pop() if _idle else None
    child = child or _Child()
    whole = False
    trouble = ""
    try:
        request = {
            "root": store.url, "store": store.config and store.config.told(),
            "fragment": asdict(fragment), "columns": asdict(columns),
        }  # fmt: skip
        child.ask(json.dumps(request).encode() + b"\n")
        while (frame := child.frame()) is not None:
            kind, data = frame
            if kind == _END:
                whole = True
                if data:
                    raise _failure(data)
                return
            yield (Damaged if kind == _DAMAGED else Rows)(**json.loads(data))
    except BrokenPipeError:
        pass
    except NoAnswerError:
        trouble = f"the reader gave no answer for {CHILD_S:.0f} s"
    finally:
        if whole:
            with _lock:
                _idle.append(child)
        else:
            code = child.stop()
    if trouble or -code in _FROM_OUTSIDE:
        trouble = trouble or f"the reader was killed from outside ({signal.Signals(-code).name}); is there enough memory?"
        raise UnavailableError(fragment.path, f"{trouble}; try again")
    raise OSError(f"the reader ended with {code}: the file asks for more than it holds, or is corrupt")


def _failure(data: bytes) -> Exception:
    said = json.loads(data)
    if said.get("errno") is not None:
        return OSError(said["errno"], said["text"])
    kind = getattr(errors, said.get("store_error", ""), None)
    return OSError(said["text"]) if kind is None else kind(said["path"], said["text"])


def _serve() -> None:
    """The child: a JSON request a line; frames of rows back, ended by one of an error or nothing."""
    resource.setrlimit(resource.RLIMIT_AS, (CHILD_BYTES, CHILD_BYTES))
    out = os.fdopen(os.dup(1), "wb")
    for line in sys.stdin.buffer:
        request = json.loads(line)
        failure = b""
        try:
            store = open_store(request["root"], StoreConfig(**request["store"]) if request["store"] else None)
            columns = document_spec_from(request["columns"])
            for rows in rows_of(store, Fragment(**request["fragment"]), columns):
                point("tables.batch")
                data = json.dumps({name: getattr(rows, name) for name in rows.__slots__}, ensure_ascii=False).encode()
                out.write(_HEAD.pack(_DAMAGED if isinstance(rows, Damaged) else _ROWS, len(data)))
                out.write(data)
        except errors.StoreError as error:
            failure = json.dumps({"store_error": type(error).__name__, "path": error.path, "text": error.message}).encode()
        except Exception as error:  # noqa: BLE001 - whatever a file makes a reader raise, it is the file's
            text = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            said = {"text": text[:500], "errno": getattr(error, "errno", None)}
            failure = json.dumps(said).encode()
        out.write(_HEAD.pack(_END, len(failure)) + failure)
        out.flush()


if __name__ == "__main__":
    _serve()
    os._exit(0)  # not through the interpreter's end, where a thread that reads an Arrow file's footer would abort the process
