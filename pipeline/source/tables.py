"""Parquet and Arrow files, read by a child process with bounded memory: a corrupt file ends the child, not the run."""

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
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline import errors
from pipeline.contract import Columns, Fragment
from pipeline.errors import UnavailableError
from pipeline.faults import point
from pipeline.pipes import NoAnswerError, read_in_time, write_all
from pipeline.source.met import Met
from pipeline.store.opening import open_store
from pipeline.store.parquet import arrow_batches, batches, parquet_file
from pipeline.store.settings import StoreConfig

if TYPE_CHECKING:
    from pipeline.source.blocks import BlockBuilder
    from pipeline.store.base import Store

BATCH_ROWS = 1024
CHILD_BYTES = 8 << 30
# So long a reader may be silent; what its consumer takes does not count.
CHILD_S = 300.0
# A frame: a row's number, and the size of what follows; or _END, and the size of an error, 0 if there is none.
_HEAD = struct.Struct("<qQ")
_END = -1
# These do not come of what a file holds.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_COMMAND = [sys.executable, "-m", "pipeline.source.tables"]


def read_table(store: Store, fragment: Fragment, builder: BlockBuilder, met: Met) -> Iterator[int]:
    """Add the rows of a Parquet or Arrow file to the builder, counting them; gives the number of the next row after each.

    Raises OSError with what is wrong with the file, or the StoreError of the store.
    """
    with contextlib.closing(_child_batches(store, fragment, builder.columns)) as batches:
        for first, batch in batches:
            records = batch.to_pylist() if batch.num_columns else [{}] * batch.num_rows
            met.documents += batch.num_rows
            for number, record in enumerate(records, first):
                builder.add(number, record)
                yield number + 1


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
        first, size = _HEAD.unpack(head)
        data = read_in_time(stream, size, CHILD_S)
        return None if data is None else (first, data)

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


def stop_children() -> None:
    """End the processes: those that wait for a file, and those whose reader was given up."""
    with _lock:
        _idle.clear()
        left = list(_all)
    for child in left:
        child.process.kill()
        child.stop()


def _child_batches(store: Store, fragment: Fragment, columns: Columns) -> Generator[tuple[int, pa.RecordBatch], None, None]:
    """The batches, each with the number of its first row."""
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
            first, data = frame
            if first == _END:
                whole = True
                if data:
                    raise _failure(data)
                return
            yield first, pa.ipc.open_stream(data).read_next_batch()
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


def _batches(store: Store, fragment: Fragment, wanted: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    number = 0
    if fragment.format == "parquet":
        file = parquet_file(store.open_read(fragment.path))
        whole = fragment.start == 0 and fragment.end == fragment.size
        groups = range(file.num_row_groups) if whole else range(fragment.start, fragment.end)
        number = sum(file.metadata.row_group(i).num_rows for i in range(groups.start))
        names = [name for name in wanted if name in file.schema_arrow.names]
        for batch in batches(file, names, BATCH_ROWS, groups):
            yield number, batch
            number += batch.num_rows
        return
    with store.open_read(fragment.path, (0, fragment.size)) as stream:
        for batch in arrow_batches(stream):
            batch.validate(full=True)
            batch = batch.select([name for name in wanted if name in batch.schema.names])
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield number, batch.slice(start, BATCH_ROWS)
                number += min(BATCH_ROWS, batch.num_rows - start)


def _serve() -> None:
    """The child: a JSON request a line; frames of (first row, Arrow stream) back, ended by (-1, error or nothing)."""
    resource.setrlimit(resource.RLIMIT_AS, (CHILD_BYTES, CHILD_BYTES))
    out = os.fdopen(os.dup(1), "wb")
    for line in sys.stdin.buffer:
        request = json.loads(line)
        columns = request["columns"]
        wanted = [columns[key] for key in ("text", "id", "time", "source") if columns[key]] + columns["keep"]
        failure = b""
        try:
            store = open_store(request["root"], StoreConfig(**request["store"]) if request["store"] else None)
            for first, batch in _batches(store, Fragment(**request["fragment"]), list(dict.fromkeys(wanted))):
                point("tables.batch")
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, batch.schema) as writer:
                    writer.write_batch(batch)
                data = sink.getvalue()
                out.write(_HEAD.pack(first, data.size))
                out.write(data)
        except errors.StoreError as error:
            failure = json.dumps({"store_error": type(error).__name__, "path": error.path, "text": error.message}).encode()
        except (OSError, ValueError, MemoryError, pa.ArrowException) as error:
            said = {"text": f"{type(error).__name__}: {error}"[:500], "errno": getattr(error, "errno", None)}
            failure = json.dumps(said).encode()
        out.write(_HEAD.pack(_END, len(failure)) + failure)
        out.flush()


if __name__ == "__main__":
    _serve()
    os._exit(0)  # not through the interpreter's end, where a thread that reads an Arrow file's footer would abort the process
