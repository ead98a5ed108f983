"""A Tagger in a process of its own, for splits over which a worker has died: whatever kills it ends only that process."""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

_SIZE = struct.Struct("<Q")
_POLL_S = 0.2
START_S = 120.0
A_CHARACTER_S = 0.001


class TaggerDiedError(Exception):
    """The process that tagged has died, or gave no answer in time."""


@dataclass(slots=True)
class _Counts:
    tokens: int = 0


@dataclass(slots=True)
class ChildTagger:
    """Has what a worker uses of a Tagger: `tag` and `work.tokens`. Every texts' answer has a deadline."""

    model: str
    engine: str
    threads: int | None
    work: _Counts = field(default_factory=_Counts)
    _process: subprocess.Popen[bytes] | None = None

    def tag(self, texts: Sequence[str], check: Callable[[], object] | None = None) -> pa.Table:
        """As Tagger.tag. Raises TaggerDiedError if the process dies over these texts, RuntimeError with its error."""
        process = self._process or self._start()
        self._process = process
        assert process.stdin is not None
        request = json.dumps(list(texts)).encode()
        try:
            process.stdin.write(_SIZE.pack(len(request)) + request)
            process.stdin.flush()
        except BrokenPipeError:
            raise self._died("died") from None
        left = START_S + A_CHARACTER_S * len(request)
        assert process.stdout is not None
        while not select.select([process.stdout], [], [], _POLL_S)[0]:
            left -= _POLL_S
            if check is not None:
                try:
                    check()
                except BaseException:
                    self.close()
                    raise
            if left <= 0:
                raise self._died("gave no answer in time")
        tokens, answer, failure = (self._read() for _ in range(3))
        if tokens is None or answer is None or failure is None:
            raise self._died("died")
        if failure:
            raise RuntimeError(failure.decode("utf-8", "replace"))
        self.work.tokens += int(tokens)
        return pa.ipc.open_stream(answer).read_all()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pipeline.careful", self.model, self.engine, str(self.threads or 0)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def _read(self) -> bytes | None:
        assert self._process is not None
        assert self._process.stdout is not None
        head = _exactly(self._process.stdout.read, _SIZE.size)
        return None if head is None else _exactly(self._process.stdout.read, _SIZE.unpack(head)[0])

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


def _exactly(read: Callable[[int], bytes], size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        more = read(size - len(data))
        if not more:
            return None
        data += more
    return data


def _serve(model: str, engine: str, threads: str) -> None:
    from models.runtime.tagger import load

    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints gets between the answers
    tagger = load(model, engine=engine, threads=int(threads) or None)  # type: ignore[arg-type]
    while (head := _exactly(sys.stdin.buffer.read, _SIZE.size)) is not None:
        texts = json.loads(_exactly(sys.stdin.buffer.read, _SIZE.unpack(head)[0]) or b"[]")
        before, answer, failure = tagger.work.tokens, b"", b""
        try:
            table = tagger.tag(texts)
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            answer = sink.getvalue().to_pybytes()
        except Exception as error:  # noqa: BLE001 - told to the worker, who narrows it down to a document
            failure = f"{type(error).__name__}: {error}".encode()[:500]
        for data in (str(tagger.work.tokens - before).encode(), answer, failure):
            out.write(_SIZE.pack(len(data)) + data)
        out.flush()


if __name__ == "__main__":
    _serve(*sys.argv[1:])
