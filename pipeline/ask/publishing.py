"""A generation that is built gets its name: by one rename on a disk, elsewhere by its manifest, which comes last.

A process that is killed before leaves files that no manifest names; the next build removes them.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from models.wheels import file_digest
from pipeline.ask.fetching import brought_here, forget_older, linked, local_folder, locked, write_synced
from pipeline.ask.generations import MANIFEST, STAGING, IndexFile, IndexGeneration, encode
from pipeline.errors import LostClaimError, TakenError
from pipeline.faults import point
from pipeline.sink.files import write_whole
from pipeline.store.base import Store

BUILDING = "building"


@contextmanager
def building_of(answers: Store, before: IndexGeneration, check: Callable[[], object]) -> Iterator[Path]:
    """Make a folder of this machine in which the next generation is built, with the files of the one before.

    tantivy writes new files and never changes one, so that links will do. Whoever writes other files into the folder must do so
    too: write under a new name, or remove the old file first.

    Args:
        answers: The index, with its claim held.
        before: The newest generation; number 0 if there is none.
        check: Called often.

    Yields:
        The folder.
    """
    folder = local_folder(answers)
    for left in folder.glob(f"{BUILDING}*"):
        shutil.rmtree(left, ignore_errors=True)
    # A name of its own: who has lost the claim without knowing it yet must not remove what its successor builds.
    building = folder / f"{BUILDING}-{uuid.uuid4().hex}"
    old = brought_here(answers, before, check) if before.number else None
    building.mkdir(parents=True)
    try:
        for path in [old / name for name in before.files] if old is not None else []:
            shutil.copy2(path, building / path.name) if path.suffix == ".json" else linked(path, building / path.name)
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


def files_of(answers: Store, building: Path, before: IndexGeneration, folder: str) -> dict[str, IndexFile]:
    """Describe the files of a generation that is built; those of the one before need not be written again where they can stay.

    Args:
        answers: The index.
        building: The folder in which it was built.
        before: The generation before.
        folder: Folder of the new one.

    Returns:
        Its files by name: all that are in the folder but locks.
    """
    old, in_place = local_folder(answers) / before.folder, answers.local_path("") is not None
    found: dict[str, IndexFile] = {}
    for path in sorted(building.iterdir()):
        if path.name.endswith(".lock") or path.name == MANIFEST:
            continue
        known, size = before.files.get(path.name), path.stat().st_size
        if known is not None and known.size == size and _is_one_file(old / path.name, path):
            sha256 = known.sha256
        else:
            sha256 = file_digest(path)
        stays = known is not None and not in_place and (known.size, known.sha256) == (size, sha256)
        found[path.name] = IndexFile(size, sha256, known.folder if known is not None and stays else folder)
    return found


def _is_one_file(one: Path, other: Path) -> bool:
    return one.exists() and one.samefile(other)


def publish(answers: Store, building: Path, generation: IndexGeneration, held: Callable[[], object]) -> None:
    """Give a generation its name: it is there whole, or not at all.

    Args:
        answers: The index, with its claim held.
        building: Its files, on this machine.
        generation: What it holds.
        held: Called before each step that cannot be undone; raises if the claim is lost.

    Raises:
        LostClaimError: Somebody else has published a generation of that number.
        StoreError: The store fails.
    """
    data = encode(generation)
    try:
        if answers.local_path("") is not None:
            write_synced(building / MANIFEST, data)
            held()
            point("index.rename.before")
            answers.rename_folder(building.name, generation.folder, MANIFEST)
            point("index.rename.after")
            return
        for name, file in generation.files.items():
            if file.folder == generation.folder:
                held()
                with (building / name).open("rb") as source, answers.create_exclusive(f"{file.folder}/{name}") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
                point("index.file")
        held()
        write_whole(answers, f"{generation.folder}/{MANIFEST}", data, "generation", STAGING)
    except TakenError as error:
        raise LostClaimError(
            f"{answers.url}/{generation.folder} was written by another process; run the command again"
        ) from error
    _keep_copy(local_folder(answers), building, generation, data)


def _keep_copy(folder: Path, building: Path, generation: IndexGeneration, data: bytes) -> None:
    """What was built here need not be fetched."""
    with locked(folder):
        for left in building.iterdir():
            if left.name not in generation.files:
                left.unlink()
        write_synced(building / MANIFEST, data)
        shutil.rmtree(folder / generation.folder, ignore_errors=True)
        building.rename(folder / generation.folder)
        forget_older(folder, generation.number)
