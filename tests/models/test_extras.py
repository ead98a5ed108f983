"""How an extra is installed is said as it works here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models import extras


def test_from_a_clone_its_folder_and_pinned_versions(monkeypatch):
    monkeypatch.chdir(extras._ROOT)
    assert extras.install("ray") == "pip install --constraint constraints.txt --editable '.[ray]'"
    monkeypatch.chdir(extras._ROOT / "tests")
    assert extras.install("ray,hdfs") == "pip install --constraint ../constraints.txt --editable '..[ray,hdfs]'"
    monkeypatch.chdir("/")
    assert extras.install("s3").endswith(f"--editable '{extras._ROOT}[s3]'")


@pytest.mark.parametrize(
    ("said", "command"),
    [
        (None, "pip install 'textmill[ray]'"),
        (
            {"url": "file:///a/textmill-0.1.0-py3-none-any.whl"},
            "pip install 'textmill[ray] @ file:///a/textmill-0.1.0-py3-none-any.whl'",
        ),
    ],
)
def test_from_a_wheel_its_file(tmp_path, said, command):
    """As pip leaves it: the package's folder, and beside it what is known of the distribution."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").touch()
    (tmp_path / "models" / "extras.py").write_text(Path(extras.__file__).read_text())
    info = tmp_path / "textmill-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: textmill\nVersion: 0.1.0\n")
    if said:
        (info / "direct_url.json").write_text(json.dumps({**said, "archive_info": {}}))
    script = "from models.extras import install; print(install('ray'))"
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {script}"],
                          capture_output=True, text=True, check=True, cwd=tmp_path)  # fmt: skip
    assert done.stdout.strip() == command
