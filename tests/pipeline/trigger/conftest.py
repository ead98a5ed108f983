"""Watchers in processes of their own, which end with their test."""

import pytest

from tests.support.watching import Watching


@pytest.fixture
def watch():
    made = []

    def start(*args, **env):
        made.append(Watching(*args, **env))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()
        one.reader.join()
        one.process.stderr.close()
