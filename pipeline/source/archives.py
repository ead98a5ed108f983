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
    """Tell by a file's first bytes whether it is an archive.

    Args:
        plain: The file, decompressed: a `.tar.gz` counts as tar.

    Returns:
        `zip` or `tar`; None for a file that is no archive.
    """
    if plain.head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    return "tar" if plain.head[257:262] == b"ustar" else None


def outer(path: str) -> str:
    """Return the path of the archive that a member lies in; the path of a plain file comes back as it is.

    Args:
        path: Path of a file, or `archive!/member`.
    """
    return path.partition(_MEMBER)[0]


def members(path: str, stream: BinaryIO, plain: PlainFile) -> Iterator[tuple[str, PlainFile | Lost]]:
    """Read the members of an archive one after the other, without folders and hidden files.

    A member is hidden if any part of its path begins with `.` or `_`. It must be read before the next one is asked for: a tar
    archive is read as a stream.

    Args:
        path: Path of the archive, as the plan names it.
        stream: The archive's own bytes, seekable. A zip archive is read from them, a tar archive by way of `plain`.
        plain: The same file, decompressed.

    Yields:
        A path and what is there: `archive!/member` with the member's bytes or, where it cannot be opened, with what is lost of
        it; or the archive's own path with what is lost of the archive.

    Raises:
        FileRefusedError: A zip archive is compressed once more, as in `a.zip.gz`.
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
