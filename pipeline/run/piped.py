"""Standard input and other pipes: what can be read only once is read to its end into the output, and is a file from then on.

The file's name holds the digest of its bytes, so that a stream that is given again is known again. Until it is there under that
name nothing of the stream is planned; from then on a run that was killed is finished by the next one, as with any file.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import select
import stat
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from pathlib import PurePath
from uuid import uuid4

from pipeline.errors import ConfigError, TakenError, UnavailableError
from pipeline.sink.files import try_delete
from pipeline.sink.layout import PIPES, STAGING
from pipeline.source.decompress import BombError
from pipeline.source.formats import FORMATS, format_of
from pipeline.source.plain import PlainFile
from pipeline.source.read import UNREADABLE
from pipeline.store.base import Store
from pipeline.store.os_errors import translated

STDIN = "-"
# Where the bytes lie, below the output, until all that was planned of them is tagged.
# So long a named pipe is waited for that nobody has opened for writing.
WRITER_S = 5.0
_BLOCK, _HEAD = 1 << 20, 1 << 16
_POLL_S = 0.2
_SIGNS = ((b"PAR1", "parquet"), (b"ARROW1", "arrow"), (b"WARC/1.", "warc"), (b"{", "jsonl"), (b"[", "jsonl"))


def is_pipe(source: str) -> bool:
    """Whether a source is standard input, a named pipe, or one of the shell's (/dev/fd/63).

    Args:
        source: As the user gave it.
    """
    if source == STDIN:
        return True
    try:
        mode = os.stat(source).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or (stat.S_ISSOCK(mode) and _handle(source) is not None)


def _handle(source: str) -> int | None:
    """The number of an open file of this process that a source names."""
    found = re.fullmatch(r"-|/dev/stdin|/(?:dev|proc/self)/fd/(\d+)", source)
    return None if found is None else int(found[1] or 0)


def check_pipes(sources: Sequence[str]) -> bool:
    """Tell whether the input is pipes, and refuse what cannot be read as such.

    Args:
        sources: As the user gave them.

    Returns:
        True if all sources are pipes, False if none is.

    Raises:
        ConfigError: The sources are both pipes and files, one pipe is given twice, or standard input is a terminal.
    """
    found = [source for source in sources if is_pipe(source)]
    if found and len(found) < len(sources):
        raise ConfigError(
            f"{found[0]} can be read only once, files again and again: tag them one after the other, into one output"
        )
    if len(set(found)) < len(found):
        raise ConfigError(f"{found[0]} is given twice, and can be read only once")
    if STDIN in found and os.isatty(0):
        raise ConfigError(f"{STDIN}: standard input is a terminal; give it a file or the output of a command")
    return bool(found)


def spool(store: Store, sources: Sequence[str], kind: str, check: Callable[[], object]) -> list[str]:
    """Read pipes to their ends into files below `_pipes/` of an output.

    A file's name holds the digest of its bytes: a stream that is given again is the same file. What is not complete leaves no
    trace.

    Args:
        store: The output.
        sources: Pipes, as the user gave them.
        kind: Format of all of them; if it is "", the name of each or its first bytes must tell it.
        check: Called several times a second; what it raises ends the reading.

    Returns:
        URLs of the files, in the order of the sources.

    Raises:
        ConfigError: The format of a stream is not known.
        UnavailableError: Nobody opens a named pipe for writing within WRITER_S.
    """
    made = []
    for source in sources:
        staged = f"{STAGING}/{uuid4().hex}/pipe"
        try:
            digest, head = hashlib.sha256(), b""
            with store.create_exclusive(staged) as out, closing(_blocks(source, check)) as blocks:
                for block in blocks:
                    head += block[: _HEAD - len(head)]
                    digest.update(block)
                    out.write(block)
            name = f"{_stem(source)}-{digest.hexdigest()[:16]}.{_suffix(source, kind, head)}"
            with suppress(TakenError):  # the same bytes, of a run that was not finished
                store.rename_no_overwrite(staged, f"{PIPES}/{name}")
            made.append(f"{store.url.rstrip('/')}/{PIPES}/{name}")
        finally:
            try_delete(store, staged.rpartition("/")[0])
    return made


def _blocks(source: str, check: Callable[[], object]) -> Generator[bytes, None, None]:
    """What comes out of a pipe. Opening a named one would wait for whoever writes into it, so that is waited for here."""
    handle = _handle(source)
    with translated(source):
        pipe = os.open(source, os.O_RDONLY | os.O_NONBLOCK) if handle is None else handle
        poll, until, begun = select.poll(), time.monotonic() + WRITER_S, handle is not None
        poll.register(pipe, select.POLLIN)
        try:
            while True:
                check()
                if not (ready := poll.poll(_POLL_S * 1000)) and begun:
                    continue
                try:
                    block = os.read(pipe, _BLOCK)
                except BlockingIOError:
                    begun = True  # a writer is there, and silent; without one this would be the end
                    continue
                if not block and ready:
                    return
                if block:
                    begun = True
                    yield block
                elif time.monotonic() > until:
                    raise UnavailableError(source, f"nobody has opened this pipe for writing within {WRITER_S:.0f} s")
        finally:
            if handle is None:
                os.close(pipe)


def _stem(source: str) -> str:
    """What the file is called after: the pipe, if it has a name of its own."""
    name = PurePath(source).name
    stem = name.partition(".")[0] if format_of(name) else name
    plain = re.sub(r"[^\w-]", "", stem, flags=re.ASCII).lstrip("_")
    return "stdin" if source == STDIN or not plain or plain.isdigit() else plain[:100]


def _suffix(source: str, kind: str, head: bytes) -> str:
    known = kind or format_of(PurePath(source).name) or _told_by(head)
    if known not in FORMATS:
        raise ConfigError(f"{source}: in which format is it? Give --format with one of {', '.join(FORMATS)}")
    return FORMATS[known].suffixes[0].lstrip(".")


def _told_by(head: bytes) -> str:
    """The format that a stream's first bytes tell, "" if none; of an empty one any."""
    with suppress(*UNREADABLE, BombError):
        head = PlainFile(io.BytesIO(head), len(head), _HEAD).head
    plain = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((kind for sign, kind in _SIGNS if plain.startswith(sign)), "" if plain else "jsonl")
