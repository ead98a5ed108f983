"""Parquet and Arrow files, read by a child process with bounded memory: a corrupt file ends the child, not the run."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import struct
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import errors
from pipeline.contract import Columns, Fragment
from pipeline.store.opening import open_store
from pipeline.store.settings import StoreConfig

if TYPE_CHECKING:
    from pipeline.source.blocks import BlockBuilder
    from pipeline.store.base import Store

BATCH_ROWS = 1024
CHILD_BYTES = 8 << 30
CHILD_S = 300.0
_COMMAND = [sys.executable, "-m", "pipeline.source.tables"]


def read_table(store: Store, fragment: Fragment, builder: BlockBuilder) -> Iterator[int]:
    """Add the rows of a Parquet or Arrow file to the builder; gives the number of the next row after each.

    Raises OSError with what is wrong with the file, or the StoreError of the store.
    """
    with contextlib.closing(_child_batches(store, fragment, builder.columns)) as batches:
        for first, batch in batches:
            for number, record in enumerate(batch.to_pylist(), first):
                builder.add(number, record)
                yield number + 1


class _Child:
    """A process that reads tables; one a thread, kept from file to file."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self.process.wait()


_idle: list[_Child] = []
_lock = threading.Lock()


def stop_children() -> None:
    """End the processes that wait for a file."""
    with _lock:
        while _idle:
            _idle.pop().stop()


def _child_batches(store: Store, fragment: Fragment, columns: Columns) -> Generator[tuple[int, pa.RecordBatch], None, None]:
    with _lock:
        child = _idle.pop() if _idle else _Child()
    assert child.process.stdin is not None
    assert child.process.stdout is not None
    timer = threading.Timer(CHILD_S, child.process.kill)
    timer.start()
    whole = False
    try:
        request = {
            "root": store.url, "store": store.config and store.config.told(),
            "fragment": asdict(fragment), "columns": asdict(columns),
        }  # fmt: skip
        child.process.stdin.write(json.dumps(request).encode() + b"\n")
        child.process.stdin.flush()
        while (frame := _frame(child.process.stdout)) is not None:
            first, data = frame
            if first < 0:
                whole = True
                if data:
                    raise _failure(data)
                return
            yield first, pa.ipc.open_stream(data).read_next_batch()
    except BrokenPipeError:
        pass
    finally:
        timer.cancel()
        if whole:
            with _lock:
                _idle.append(child)
        else:
            child.stop()
    raise OSError(f"the reader ended with {child.process.returncode}: the file asks for more than it holds, or is corrupt")


def _failure(data: bytes) -> Exception:
    said = json.loads(data)
    kind = getattr(errors, said.get("store_error", ""), None)
    return OSError(said["text"]) if kind is None else kind(said["path"], said["text"])


_HEAD = struct.Struct("<qQ")


def _frame(stream: IO[bytes]) -> tuple[int, bytes] | None:
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    first, size = _HEAD.unpack(head)
    data = stream.read(size)
    return (first, data) if len(data) == size else None


def _batches(store: Store, fragment: Fragment, wanted: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    number = 0
    if fragment.format == "parquet":
        file = pq.ParquetFile(store.open_read(fragment.path))
        whole = fragment.start == 0 and fragment.end == fragment.size
        groups = range(file.num_row_groups) if whole else range(fragment.start, fragment.end)
        number = sum(file.metadata.row_group(i).num_rows for i in range(groups.start))
        names = [name for name in wanted if name in file.schema_arrow.names]
        for batch in file.iter_batches(BATCH_ROWS, list(groups), names):
            yield number, batch
            number += batch.num_rows
        return
    with store.open_read(fragment.path, (0, fragment.size)) as stream:
        head = stream.read(6)
        stream.seek(0)
        reader: Any = pa.ipc.open_file(stream) if head == b"ARROW1" else pa.ipc.open_stream(stream)
        found = (reader.get_batch(i) for i in range(reader.num_record_batches)) if head == b"ARROW1" else reader
        for batch in found:
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
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, batch.schema) as writer:
                    writer.write_batch(batch)
                data = sink.getvalue()
                out.write(_HEAD.pack(first, data.size))
                out.write(data)
        except errors.StoreError as error:
            failure = json.dumps({"store_error": type(error).__name__, "path": error.path, "text": error.message}).encode()
        except (OSError, ValueError, MemoryError, pa.ArrowException) as error:
            failure = json.dumps({"text": f"{type(error).__name__}: {error}"[:500]}).encode()
        out.write(_HEAD.pack(-1, len(failure)) + failure)
        out.flush()


if __name__ == "__main__":
    _serve()
