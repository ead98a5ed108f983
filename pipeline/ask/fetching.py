"""Where a generation lies on this machine: in place, or as a copy of what is on HDFS or S3 that is fetched once.

The copies of an index are in a folder of the user's cache, a folder a generation. A file is fetched only if no copy of an earlier
generation has it, and counts once its size and digest are those of the manifest. A fetch that was killed is gone on with.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models.cache_folder import cache_folder
from models.wheels import file_digest
from pipeline.ask.generations import (
    KEPT,
    MANIFEST,
    IndexFile,
    IndexGeneration,
    decode,
    encode,
    read_generation,
    whole_generations,
)
from pipeline.errors import MissingError, OutputError
from pipeline.faults import point
from pipeline.store.base import Store

FETCHING, _LOCK = "fetching", "lock"
_CHUNK = 1 << 20
_POLL_S = 0.05


def local_folder(answers: Store) -> Path:
    """Return the folder of this machine in which the generations of an index are: its own, or that of its copies.

    Args:
        answers: The index.
    """
    if (own := answers.local_path("")) is not None:
        return own
    return cache_folder() / "answers" / hashlib.sha256(answers.url.encode()).hexdigest()[:24]


def newest_generation(answers: Store, check: Callable[[], object] = lambda: None) -> tuple[IndexGeneration, Path] | None:
    """Find the newest generation, and bring it here if it is elsewhere.

    Args:
        answers: The index.
        check: Called often; what it raises ends the fetch, with which the next one goes on.

    Returns:
        The generation and its folder on this machine; None if there is none.

    Raises:
        OutputError: A manifest or a file is not as it should be.
        StoreError: The store fails.
    """
    while True:
        numbers = whole_generations(answers)
        if not numbers:
            return None
        try:
            generation = read_generation(answers, numbers[-1])
            return generation, brought_here(answers, generation, check)
        except MissingError as error:  # it may have been replaced meanwhile
            if whole_generations(answers)[-1:] == numbers[-1:]:
                where = f"{answers.url}/{error.path}"
                raise OutputError(f"{where} is not there; remove the index's folder and make the index anew") from error


def brought_here(answers: Store, generation: IndexGeneration, check: Callable[[], object] = lambda: None) -> Path:
    """Bring a generation here, unless it is.

    Args:
        answers: The index.
        generation: One of its generations.
        check: Called often.

    Returns:
        Its folder on this machine, which holds all its files.

    Raises:
        MissingError: A file is not there, or no longer.
        OutputError: A file is not what the manifest says.
        StoreError: The store fails.
    """
    folder = local_folder(answers)
    target = folder / generation.folder
    if answers.local_path("") is not None:
        return target
    with locked(folder, check):
        if not _is_whole(target, generation):
            shutil.rmtree(target, ignore_errors=True)
            _fetch(answers, generation, folder, check)
            point("fetch.rename.before")
            (folder / FETCHING).rename(target)
            point("fetch.rename.after")
        forget_older(folder, generation.number)
    return target


@contextmanager
def locked(folder: Path, check: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold a folder of copies for this process alone; whoever is there first is waited for.

    Args:
        folder: The folder; made if it is absent.
        check: Called while it waits.

    Yields:
        Nothing; the folder is locked meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / _LOCK).open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                check()
                time.sleep(_POLL_S)
        yield


def forget_older(folder: Path, number: int) -> None:
    """Remove the copies that are older than a generation and the one before it.

    Args:
        folder: Of the copies, which is locked.
        number: Of the generation.
    """
    older = sorted(path for path in folder.glob("g*") if path.is_dir() and path.name < IndexGeneration(number, "").folder)
    for path in older[: len(older) - KEPT]:
        shutil.rmtree(path, ignore_errors=True)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file that is on the disk when this returns.

    Args:
        path: The file.
        data: What it holds.
    """
    with path.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def linked(path: Path, link: Path) -> None:
    """Give a file a second name, or copy it where the file system gives none.

    Args:
        path: The file, which nobody changes.
        link: The new name.
    """
    try:
        os.link(path, link)
    except OSError:
        shutil.copy2(path, link)


def _is_whole(target: Path, generation: IndexGeneration) -> bool:
    """Whether a copy is the generation: a copy gets its name when it is, but a disk may lose what a power cut took."""
    try:
        if (target / MANIFEST).read_bytes() != encode(generation):
            return False
        return all((target / name).stat().st_size == file.size for name, file in generation.files.items())
    except FileNotFoundError:
        return False


def _fetch(answers: Store, generation: IndexGeneration, folder: Path, check: Callable[[], object]) -> None:
    """Fill the folder `fetching`, in which a killed fetch may have left files."""
    making, known = folder / FETCHING, _copies(folder)
    making.mkdir(exist_ok=True)
    for left in making.iterdir():
        file = generation.files.get(left.name)
        if file is None or left.stat().st_size != file.size or file_digest(left) != file.sha256:
            left.unlink()
    for name, file in generation.files.items():
        check()
        if not (making / name).exists():
            if (copy := known.get((name, file.sha256))) is not None and copy.stat().st_size == file.size:
                linked(copy, making / name)
            else:
                _download(answers, name, file, making / name, check)
            point("fetch.file")
    write_synced(making / MANIFEST, encode(generation))


def _copies(folder: Path) -> dict[tuple[str, str], Path]:
    """The files that are here already, by name and digest."""
    found: dict[tuple[str, str], Path] = {}
    for manifest in sorted(folder.glob(f"g*/{MANIFEST}")):
        try:
            files = decode(manifest.read_bytes(), str(manifest), 0).files
        except OutputError:
            continue
        found.update({(name, file.sha256): manifest.parent / name for name, file in files.items()})
    return {key: path for key, path in found.items() if path.is_file()}


def _download(answers: Store, name: str, file: IndexFile, into: Path, check: Callable[[], object]) -> None:
    path, digest, size = f"{file.folder}/{name}", hashlib.sha256(), 0
    with answers.open_read(path) as stream, into.open("wb") as out:
        while data := stream.read(_CHUNK):
            check()
            digest.update(data)
            size += len(data)
            out.write(data)
        out.flush()
        os.fsync(out.fileno())
    if (size, digest.hexdigest()) != (file.size, file.sha256):
        into.unlink()
        raise OutputError(
            f"{answers.url}/{path} is not what its manifest says ({size:,} bytes, not {file.size:,}, or another digest); remove "
            "the index's folder and make the index anew"
        )
