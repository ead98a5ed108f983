"""The compression formats of text files, in one table: how each is recognised, and what decompresses a piece of it."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import zstandard

from models.extras import install
from pipeline.source.items import FileRefusedError

# A little of what is packed may hold very much: so many bytes of it are taken at once, or so many given.
_ZSTD_BYTES, _OUT_BYTES, _SMALL_OUT_BYTES = 2048, 1 << 16, 1 << 14
# As large as zstd --long=31 and --ultra make them.
_WINDOW_BYTES = 1 << 31
# What unpacking raises of a broken piece.
BROKEN = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, ValueError, RuntimeError)


class Decompressor(Protocol):
    """Decompresses one piece of a file, such as a gzip member or a zstd frame, in bounded steps.

    Attributes:
        eof: Whether the end of the piece was read.
    """

    eof: bool  # whether its end was read

    @property
    def ends(self) -> bool:
        """Whether the file may end here although `eof` is False."""
        ...

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Decompress some of the bytes that come next.

        Args:
            data: Compressed bytes, beginning with those that the last call has not taken; empty at the end of the file.

        Returns:
            Plain bytes, and the compressed bytes that were not taken. At the end of the piece the latter are all that stand
            behind it, which may include bytes of earlier calls.

        Raises:
            FileRefusedError: The library that decompresses this format is not installed.
            Exception: The piece is broken; one of BROKEN.
        """
        ...


class _Gzip:
    """Of a member that is broken all that comes before the place is given."""

    ends = False

    def __init__(self) -> None:
        self._inner, self.eof, self._error = zlib.decompressobj(wbits=31), False, ""

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        if self._error:
            raise zlib.error(self._error)
        before = self._inner.copy()
        try:
            out = self._inner.decompress(data, _OUT_BYTES)
        except zlib.error as error:
            self._error, found = str(error), bytearray()
            try:
                while one := before.decompress(data, 1):
                    found += one
                    data = before.unconsumed_tail
            except zlib.error:
                pass
            return bytes(found), data
        self.eof = self._inner.eof
        return out, self._inner.unused_data if self.eof else self._inner.unconsumed_tail


class _Stream:
    """bz2, xz and lz4, which have one interface."""

    ends = False

    def __init__(self, inner: Any) -> None:
        self._inner, self.eof = inner, False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        if self._inner.needs_input:
            out, rest = self._inner.decompress(data, _SMALL_OUT_BYTES), b""
        else:
            out, rest = self._inner.decompress(b"", _SMALL_OUT_BYTES), data
        self.eof = self._inner.eof
        return out, (self._inner.unused_data or b"") + rest if self.eof else rest


class _Zstd:
    ends = False

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).decompressobj(write_size=_OUT_BYTES)
        self.eof = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        out = self._inner.decompress(data[:_ZSTD_BYTES])
        self.eof = self._inner.eof
        return out, self._inner.unused_data + data[_ZSTD_BYTES:] if self.eof else data[_ZSTD_BYTES:]


class _Snappy:
    """The framed format, chunk by chunk, whose checksums cramjam compares. It ends where another begins, or behind any chunk."""

    def __init__(self) -> None:
        self._held, self.eof, self._began = b"", False, False

    @property
    def ends(self) -> bool:
        return not self._held

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        if self._began and not self._held and data.startswith(_SNAPPY_BEGIN[:1]):
            self.eof = True
            return b"", data
        self._held += data
        self._began = True
        size = 4 + int.from_bytes(self._held[1:4], "little")
        if len(self._held) < max(4, size):
            return b"", b""
        chunk, rest, self._held = self._held[:size], self._held[size:], b""
        if 2 <= chunk[0] < 0x80:
            raise ValueError(f"a chunk of the reserved type {chunk[0]}")
        if chunk[0] >= 0x80:
            return b"", rest
        cramjam = _library("cramjam", "snappy")
        try:
            return bytes(cramjam.snappy.decompress(_SNAPPY_BEGIN + chunk)), rest
        except cramjam.DecompressionError as error:
            raise ValueError(str(error)) from error


_SNAPPY_BEGIN = b"\xff\x06\0\0sNaPpY"


def _library(name: str, packing: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise FileRefusedError(f"packed by {packing}: {install('formats')} unpacks it") from error


def _lz4() -> Decompressor:
    return _Stream(_library("lz4.frame", "lz4").LZ4FrameDecompressor())


@dataclass(frozen=True, slots=True)
class Compression:
    """A compression format: how to recognise it, and how to decompress it.

    Attributes:
        name: As in messages and the README.
        suffixes: Suffixes of file names, with their dots.
        begin: What a file of it begins with.
        next: What a piece behind a broken one begins with; stricter than `begin` where that is short, as it is searched for.
        make: Makes a decompressor for one piece.
        piece: What a piece is called.
    """

    name: str
    suffixes: tuple[str, ...]
    begin: re.Pattern[bytes]
    next: re.Pattern[bytes]
    make: Callable[[], Decompressor]
    piece: str


def _packing(name: str, suffixes: str, begin: bytes, more: bytes, make: Callable[[], Decompressor], piece: str) -> Compression:
    first, following = (re.compile(pattern, re.S) for pattern in (begin, begin + more))
    return Compression(name, tuple(suffixes.split()), first, following, make, piece)


COMPRESSIONS = (
    _packing("gzip", ".gz .gzip", rb"\x1f\x8b", rb"\x08[\0-\x1f].{4}[\0\x02\x04][\0-\x0d\xff]", _Gzip, "gzip member"),
    _packing("zstd", ".zst .zstd", rb"(?:[\x50-\x5f]\x2a\x4d\x18|\x28\xb5\x2f\xfd)", rb"", _Zstd, "zstd frame"),
    _packing("bz2", ".bz2 .bz", rb"BZh[1-9]", rb"1AY&SY", lambda: _Stream(bz2.BZ2Decompressor()), "bz2 stream"),
    _packing("xz", ".xz", rb"\xfd7zXZ\0", rb"", lambda: _Stream(lzma.LZMADecompressor(lzma.FORMAT_XZ)), "xz stream"),
    _packing(
        "lz4",
        ".lz4",
        rb"\x04\x22\x4d\x18",
        rb"",
        _lz4,
        "lz4 frame",
    ),
    _packing("snappy", ".snappy .sz", rb"\xff\x06\0\0sNaPpY", rb"", _Snappy, "snappy chunk"),
)
# A head of so many bytes tells the packing.
MAGIC_BYTES = 16


def compression_of(head: bytes) -> Compression | None:
    """Recognise a file's compression by its first bytes.

    Args:
        head: The first MAGIC_BYTES of the file.

    Returns:
        The compression; None if the file is not compressed.
    """
    return next((one for one in COMPRESSIONS if one.begin.match(head)), None)
