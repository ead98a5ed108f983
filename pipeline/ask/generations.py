"""The generations of an index: each is immutable, and there once its manifest is.

Generation 7 is the folder `g000007` and the `manifest.json` in it, which says what the generation holds and names each of its
files with size and digest. Files of an earlier generation that are still right are not written again on HDFS or S3: the manifest
names the folder in which they are.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import OutputError, StoreError
from pipeline.store.base import Store
from pipeline.store.local import LocalStore

MANIFEST, CLAIM, STAGING = "manifest.json", "_claim", "_staging"
# Generations that stay beside the newest one, for those who still read them.
KEPT = 1
_FOLDER = re.compile(r"g(\d{6,})")


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file of a generation.

    Attributes:
        size: In bytes.
        sha256: Of its bytes, hexadecimal.
        folder: Folder of the generation that wrote it.
    """

    size: int
    sha256: str
    folder: str


@dataclass(frozen=True, slots=True)
class IndexedPart:
    """A part of the output as it is in an index.

    Attributes:
        attempt: Which attempt made it.
        size: Of its file, in bytes.
        modified_ns: Time of its file; 0 if the file was so young that the time may be that of two files.
    """

    attempt: str
    size: int = 0
    modified_ns: int = 0


@dataclass(frozen=True, slots=True)
class IndexGeneration:
    """What a generation holds.

    Attributes:
        number: From 1; 0 is what there is before the first one.
        output: The output that it is of.
        parts: The parts in it, by path.
        passages: How many it has.
        files: Its files by name, all but the manifest.
        about: What else its maker says, ready for JSON.
    """

    number: int
    output: str
    parts: dict[str, IndexedPart] = field(default_factory=dict)
    passages: int = 0
    files: dict[str, IndexFile] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"g{self.number:06d}"


def store_of(answers: Store | Path) -> Store:
    """Return the store of an index.

    Args:
        answers: The store, or a folder of this machine.
    """
    return LocalStore(answers) if isinstance(answers, Path) else answers


def whole_generations(answers: Store) -> list[int]:
    """Return the numbers of the generations that are whole, the newest last.

    Args:
        answers: The index.
    """
    return sorted(_numbers([entry.path for entry in answers.list()]))


def _numbers(paths: list[str]) -> set[int]:
    parts = [path.split("/") for path in paths]
    named = [_FOLDER.fullmatch(part[0]) for part in parts if len(part) == 2 and part[1] == MANIFEST]
    return {int(match[1]) for match in named if match is not None}


def read_generation(answers: Store, number: int) -> IndexGeneration:
    """Read what a generation holds.

    Args:
        answers: The index.
        number: Of a generation that is whole.

    Returns:
        The generation.

    Raises:
        MissingError: It is not there, or no longer.
        OutputError: Its manifest is none.
    """
    path = f"{IndexGeneration(number, '').folder}/{MANIFEST}"
    with answers.open_read(path) as stream:
        return decode(stream.read(), f"{answers.url}/{path}", number)


def encode(generation: IndexGeneration) -> bytes:
    """Encode the manifest of a generation; `decode` is the inverse.

    Args:
        generation: What it holds.

    Returns:
        JSON.
    """
    return json.dumps({key: value for key, value in asdict(generation).items() if key != "number"}, indent=1).encode() + b"\n"


def decode(data: bytes, path: str, number: int) -> IndexGeneration:
    """Decode the manifest of a generation.

    Args:
        data: JSON.
        path: Names the manifest in the error.
        number: Of the generation.

    Returns:
        What it holds.

    Raises:
        OutputError: It is no manifest, or one of a version that did not name the files.
    """
    try:
        found = json.loads(data)
        parts = {part: IndexedPart(**about) for part, about in found["parts"].items()}
        files = {name: IndexFile(**about) for name, about in found["files"].items()}
        return IndexGeneration(number, found["output"], parts, int(found["passages"]), files, dict(found["about"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise OutputError(f"{path} is no manifest of an index ({what}); remove the folder and make the index anew") from error


def tidy(answers: Store) -> list[IndexGeneration]:
    """Remove what no reader needs: older generations, and what a killed build has left. The caller holds the claim.

    Args:
        answers: The index.

    Returns:
        The generations that stay, the newest last.

    Raises:
        OutputError: A manifest is none.
        StoreError: Something cannot be removed.
    """
    paths = [entry.path for entry in answers.list()]
    keep = [read_generation(answers, number) for number in sorted(_numbers(paths))[-1 - KEPT :]]
    whole = {one.folder for one in keep}
    needed = {f"{file.folder}/{name}" for one in keep for name, file in one.files.items()}
    needed_folders = {file.folder for one in keep for file in one.files.values()}
    others: dict[str, list[str]] = {}
    for path in paths:
        folder, _, name = path.partition("/")
        if name and (_FOLDER.fullmatch(folder) or folder == STAGING) and folder not in whole:
            others.setdefault(folder, []).append(path)
    for folder, there in others.items():
        # Its manifest goes first: nobody shall find a generation that lacks files.
        for path in sorted(set(there) - needed, key=lambda path: not path.endswith(f"/{MANIFEST}")):
            if folder in needed_folders or path.endswith(f"/{MANIFEST}"):
                answers.delete(path)
        if folder not in needed_folders:
            answers.delete(folder)
    return keep


def try_tidy(answers: Store) -> None:
    """Remove what no reader needs, as far as the store lets us; the next build does the rest.

    Args:
        answers: The index.
    """
    try:
        tidy(answers)
    except StoreError:
        return
