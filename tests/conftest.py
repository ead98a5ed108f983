import pytest

import models
from models.runtime.tagger import Tagger


@pytest.fixture(scope="session")
def tagger() -> Tagger:
    return models.load("en-fast", threads=1)
