import pytest


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder of this test alone for converted models."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TEXTMILL_CACHE", str(folder))
    return folder
