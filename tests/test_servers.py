"""Engines in actors: many workers send batches, the answers are those of a local engine, a dead server costs nothing."""

import time

import numpy as np
import pytest

from models.runtime.batches import RaggedBatch
from pipeline.errors import UnavailableError
from pipeline.fleet.remote_engine import RemoteEngine
from pipeline.fleet.server import EngineServer

TEXTS = [f"Ms Keller of house {i} flew from Cork to Paris with Volta Energy" + " and came back" * (i % 9) for i in range(200)]


@pytest.fixture(scope="module")
def ray():
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield ray
    ray.shutdown()


def serve(ray, kind=EngineServer):
    return ray.remote(num_cpus=0, max_concurrency=100)(kind).remote("en-fast", "openvino", 1)


@pytest.fixture(scope="module")
def server(ray):
    return serve(ray)


@pytest.fixture
def batches(tagger):
    tagger.budget_tokens, before = 256, tagger.budget_tokens
    found = list(tagger.encode(TEXTS)[2])
    tagger.budget_tokens = before
    assert len(found) > 10
    return found


def compare(found, tagger, batches):
    mine = {id(scores.batch): scores for scores in tagger.engine.infer(batches)}
    theirs = {id(scores.batch): scores for scores in found}
    assert set(mine) == set(theirs)
    for key, scores in mine.items():
        np.testing.assert_allclose(theirs[key].tokens, scores.tokens, atol=0.02)
        np.testing.assert_allclose(theirs[key].sentiment, scores.sentiment, atol=1e-4)


def test_a_server_gives_what_the_engine_gives(server, tagger, batches):
    engine = RemoteEngine([server], "en", None)
    compare(engine.infer(batches), tagger, batches)
    assert engine.own_tokens == 0
    assert engine.sent_tokens == sum(len(batch.ids) for batch in batches)
    assert [one.mine for one in engine._servers] == [0]
    assert 0 < engine._servers[0].speed != 100_000.0


def test_requests_that_are_computed_together(tagger, batches):
    """What a server does on a GPU: one flat batch of many requests, parted again."""
    from pipeline.fleet.server import _flat, _Request

    parts = _flat(tagger.engine, [_Request("en", batch, None, None) for batch in batches])
    mine = {id(scores.batch): scores for scores in tagger.engine.infer(batches)}
    for batch, (tokens, sentiment) in zip(batches, parts, strict=True):
        np.testing.assert_allclose(tokens, mine[id(batch)].tokens, atol=1e-4)
        np.testing.assert_allclose(sentiment, mine[id(batch)].sentiment, atol=1e-4)


class SlowServer(EngineServer):
    def _compute(self, *rest):
        time.sleep(0.2)
        super()._compute(*rest)


def test_a_server_that_is_behind_leaves_the_rest_to_the_worker(ray, tagger, batches):
    engine = RemoteEngine([serve(ray, SlowServer)], "en", tagger.engine)
    for _ in range(3):
        compare(engine.infer(batches), tagger, batches)
    assert engine.own_tokens > 0
    assert engine.sent_tokens > 0


def test_what_a_dead_server_had_is_computed_elsewhere(ray, tagger, batches):
    dead = serve(ray)
    ray.get(dead.node.remote())
    engine = RemoteEngine([dead], "en", tagger.engine)
    ray.kill(dead)
    compare(engine.infer(batches), tagger, batches)
    assert engine._servers == []
    with pytest.raises(UnavailableError, match="all engine servers have died"):
        list(RemoteEngine([dead], "en", None).infer(batches))


def test_an_error_of_the_engine_reaches_the_one_who_asked(server, ray):
    wrong = RaggedBatch(np.array([10**6], np.int32), np.zeros(1, np.uint8), np.array([0, 1]), np.zeros(1, np.int64))
    with pytest.raises(ray.exceptions.RayTaskError):
        list(RemoteEngine([server], "no such language", None).infer([wrong]))
