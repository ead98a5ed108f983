"""Zip and tar archives: each member that holds text is read as a file of its own, which goes by `archive!/member`."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from pipeline.source.decompress import Chunks
from pipeline.source.items import FileRefusedError, Lost
from pipeline.source.plain import PlainFile

_MEMBER = "!/"
# What reading a member may raise beside what the archive's own file does.
BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, tarfile.TarError)


def archive_of(plain: PlainFile) -> str | None:
    """zip or tar, if a file is one."""
    if plain.head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return "tar" if plain.head[257:262] == b"ustar" else None


def outer(path: str) -> str:
    """The file that a member is in, or the file itself."""
    return path.partition(_MEMBER)[0]


def members(path: str, stream: BinaryIO, plain: PlainFile) -> Iterator[tuple[str, PlainFile | Lost]]:
    """The members of an archive that are files and not hidden, by their paths; the archive's own with what of it is lost.

    Raises FileRefusedError for a packed zip archive.
    """
    if archive_of(plain) == "tar":
        yield from _tar(path, plain)
        return
    if plain.packed:
        raise FileRefusedError("a zip archive that is packed once more: unpack it first")
    stream.seek(0)
    try:
        with zipfile.ZipFile(stream) as archive:
            for info in archive.infolist():
                if info.is_dir() or _hidden(info.filename):
                    continue
                inside = f"{path}{_MEMBER}{info.filename}"
                try:
                    with archive.open(info) as member:
                        yield inside, PlainFile(cast(BinaryIO, member), info.file_size, broken=BROKEN)
                except BROKEN as error:
                    yield inside, Lost(0, 0, "file_unreadable", f"{type(error).__name__}: {error}", lost=info.file_size)
    except BROKEN as error:
        yield path, Lost(0, 0, "file_unreadable", f"a zip archive that is broken ({error})", lost=plain.size)


def _tar(path: str, plain: PlainFile) -> Iterator[tuple[str, PlainFile | Lost]]:
    chunks, seen = Chunks(plain.chunks()), 0
    try:
        with tarfile.open(fileobj=cast(BinaryIO, chunks), mode="r|", bufsize=1 << 16) as archive:
            for info in archive:
                seen = chunks.place
                if not info.isfile() or _hidden(info.name):
                    continue
                member = archive.extractfile(info)
                assert member is not None
                yield f"{path}{_MEMBER}{info.name}", PlainFile(cast(BinaryIO, member), info.size, broken=BROKEN)
    except BROKEN as error:
        if not chunks.gaps:
            yield path, Lost(seen, chunks.place, "file_unreadable", f"a tar archive that is broken ({error})", lost=plain.size)
    for gap in chunks.gaps:
        yield path, Lost(chunks.place, chunks.place, "file_unreadable", gap.message, lost=max(1, gap.lost))


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in name.removeprefix("./").split("/"))
