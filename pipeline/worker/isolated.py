"""A Tagger in a process of its own, for splits over which a worker has died: whatever kills it ends only that process."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.pipes import NoAnswerError, read_exactly, read_in_time, write_all

_SIZE = struct.Struct("<Q")
START_S = 120.0
A_CHARACTER_S = 0.001


class TaggerDiedError(Exception):
    """The process that tagged has died, or gave no answer in time."""


@dataclass(slots=True)
class _Counts:
    tokens: int = 0


@dataclass(slots=True)
class SubprocessTagger:
    """Has what a worker uses of a Tagger: `tag` and `work.tokens`. Every texts' answer has a deadline."""

    model: str
    engine: str
    threads: int | None
    work: _Counts = field(default_factory=_Counts)
    _process: subprocess.Popen[bytes] | None = None

    def tag(self, texts: Sequence[str], check: Callable[[], object] | None = None) -> pa.Table:
        """Tag texts in the other process, which is started if it is not there.

        Args:
            texts: The texts.
            check: Called often while it works; what it raises ends the process and passes.

        Returns:
            One row a text, see `Tagger.tag`.

        Raises:
            TaggerDiedError: The process died over the texts, or gave no answer in time.
            RuntimeError: What the model raised there; MemoryError and OSError as they are.
        """
        process = self._process or self._start()
        self._process = process
        assert process.stdin is not None
        request = json.dumps(list(texts)).encode()
        try:
            write_all(process.stdin.write, _SIZE.pack(len(request)) + request)
        except BrokenPipeError:
            raise self._died("died") from None
        limit_s = START_S + A_CHARACTER_S * len(request)
        try:
            tokens, answer, failure = (self._read(limit_s, check) for _ in range(3))
        except NoAnswerError:
            raise self._died("gave no answer in time") from None
        except BaseException:
            self.close()
            raise
        if tokens is None or answer is None or failure is None:
            raise self._died("died")
        if failure:
            raise _failed(json.loads(failure))
        self.work.tokens += int(tokens)
        return pa.ipc.open_stream(answer).read_all()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pipeline.worker.isolated", self.model, self.engine, str(self.threads or 0)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def _read(self, limit_s: float, check: Callable[[], object] | None) -> bytes | None:
        assert self._process is not None
        assert self._process.stdout is not None
        head = read_in_time(self._process.stdout, _SIZE.size, limit_s, check)
        return None if head is None else read_in_time(self._process.stdout, _SIZE.unpack(head)[0], limit_s, check)

    def _died(self, how: str) -> TaggerDiedError:
        assert self._process is not None
        code = self._process.poll()
        self.close()
        return TaggerDiedError(f"the model's process {how}" + (f" with {code}" if code is not None else ""))

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process.wait()
            self._process = None


def _failed(said: dict[str, Any]) -> Exception:
    if said["memory"]:
        return MemoryError(said["text"])
    return RuntimeError(said["text"]) if said["errno"] is None else OSError(said["errno"], said["text"])


def _serve(model: str, engine: str, threads: str) -> None:
    from models.runtime.load import load

    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints gets between the answers
    tagger = load(model, engine=engine, threads=int(threads) or None)  # type: ignore[arg-type]
    while (head := read_exactly(sys.stdin.buffer.read, _SIZE.size)) is not None:
        texts = json.loads(read_exactly(sys.stdin.buffer.read, _SIZE.unpack(head)[0]) or b"[]")
        before, answer, failure = tagger.work.tokens, b"", b""
        try:
            table = tagger.tag(texts)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            answer = sink.getvalue().to_pybytes()
        except Exception as error:  # noqa: BLE001 - told to the worker, who narrows it down to a document
            said = {"text": f"{type(error).__name__}: {error}"[:500], "memory": isinstance(error, MemoryError)}
            failure = json.dumps(said | {"errno": getattr(error, "errno", None)}).encode()
        for data in (str(tagger.work.tokens - before).encode(), answer, failure):
            out.write(_SIZE.pack(len(data)) + data)
        out.flush()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
