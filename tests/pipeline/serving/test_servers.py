"""Engines in actors: many workers send batches, the answers are those of a local engine, a server at fault costs nothing."""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from models.runtime.batches import RaggedBatch
from models.runtime.engines import Logits
from pipeline.errors import UnavailableError
from pipeline.serving.engine_server import EngineServer
from pipeline.serving.remote_engine import RemoteEngine

TEXTS = [f"Ms Keller of house {i} flew from Cork to Paris with Volta Energy" + " and came back" * (i % 9) for i in range(200)]


@pytest.fixture(scope="module")
def ray():
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield ray
    ray.shutdown()


def serve(ray, kind=EngineServer, *more):
    return ray.remote(num_cpus=0, max_concurrency=100, max_restarts=2)(kind).remote("en-fast", "openvino", 1, *more)


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
    from pipeline.serving.engine_server import Request, compute_flat

    parts = compute_flat(tagger.engine, [Request("en", batch, None, None) for batch in batches])
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
    until_it_serves(engine, tagger, batches)
    engine.own_tokens = engine.sent_tokens = 0
    engine._here = 0.0
    for _ in range(3):
        compare(engine.infer(batches), tagger, batches)
    assert engine.own_tokens > 0
    assert engine.sent_tokens > 0


def test_what_a_dead_server_had_is_computed_elsewhere(ray, tagger, batches):
    dead = serve(ray)
    engine = RemoteEngine([dead], "en", tagger.engine)
    until_it_serves(engine, tagger, batches)
    ray.kill(dead)
    engine._here = 1.0
    compare(engine.infer(batches), tagger, batches)
    assert not engine._servers[0].ready
    with pytest.raises(UnavailableError, match="no engine server has answered"):
        list(RemoteEngine([dead], "en", None, wait_s=0.5).infer(batches))


def test_an_error_of_the_engine_reaches_the_one_who_asked(server, ray):
    wrong = RaggedBatch(np.array([10**6], np.int32), np.zeros(1, np.uint8), np.array([0, 1]), np.zeros(1, np.int64))
    with pytest.raises(ray.exceptions.RayTaskError):
        list(RemoteEngine([server], "no such language", None).infer([wrong]))


POISON, FATAL = 111, 222


def request_of(*ids):
    return np.array(ids, np.int32), np.zeros(len(ids), np.uint8), np.array([0, len(ids)])


class Breakable:
    """An engine that fails over a batch with POISON in it, and over all batches after one with FATAL, as CUDA does."""

    flat = True
    broken = False

    def __init__(self, usual=None):
        self.usual = usual

    def infer(self, batches):
        for batch in batches:
            self.broken |= bool((batch.ids == FATAL).any())
            if self.broken or (batch.ids == POISON).any():
                raise RuntimeError("an error of CUDA" if self.broken else "poison")
            if self.usual is not None:
                yield from self.usual.infer([batch])
            else:
                yield Logits(batch, np.repeat(batch.ids[:, None], 2, 1).astype(np.float32), np.zeros((len(batch.windows), 3)))


class ServerHere(EngineServer):
    """A server in this process. It begins when it is told, so that what was sent until then is computed together."""

    def __init__(self):
        self.begins, self.ended = threading.Event(), threading.Event()
        self._start({"en": Breakable()}, {"en": RaggedBatch(*request_of(1, 2), np.zeros(1, np.int64))})

    def _compute(self, together):
        self.begins.wait()
        super()._compute(together)

    def _end(self):
        self.ended.set()


def ask_together(server, requests):
    async def all_of_them():
        waiting = [asyncio.ensure_future(server.infer("en", *one)) for one in requests]
        while server._put < sum(len(one[0]) for one in requests):
            await asyncio.sleep(0)
        server.begins.set()
        return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 60)

    return asyncio.run(all_of_them())


def test_a_request_that_fails_fails_alone():
    server = ServerHere()
    # The first is computed before the others have come, or with them.
    requests = [request_of(i, POISON) if i % 5 == 3 else request_of(i, i) for i in range(1, 40)]
    for request, answer in zip(requests, ask_together(server, requests), strict=True):
        if POISON in request[0]:
            assert isinstance(answer, RuntimeError)
            assert str(answer) == "poison"
        else:
            assert answer.tokens[:, 0].tolist() == request[0].tolist()
    assert server._put == server._done
    assert not server.ended.is_set()


def test_a_broken_engine_answers_all_who_wait_and_ends_itself():
    server = ServerHere()
    requests = [request_of(1, 1), request_of(2, FATAL), *[request_of(i, i) for i in range(3, 20)]]
    # A request that is not of the same language, and one that would be too much, are left for later.
    answers = ask_together(server, [*requests, request_of(*[7] * 70_000)])
    assert [type(answer) for answer in answers[1:]] == [UnavailableError] * (len(answers) - 1)
    assert "the engine is broken" in str(answers[1])
    assert server.ended.wait(60)
    assert server._put == server._done
    with pytest.raises(UnavailableError, match="the engine is broken"):
        asyncio.run(server.infer("en", *request_of(1)))


class BreakableServer(EngineServer):
    """On Ray. Notes its process, so that a test sees that it was started anew."""

    def __init__(self, model, engine, threads, folder):
        super().__init__(model, engine, threads)
        self._engines = {lang: Breakable(usual) for lang, usual in self._engines.items()}
        (Path(folder) / str(os.getpid())).touch()

    async def process(self):
        return os.getpid()


def ids_with(batch, number):
    ids = batch.ids.copy()
    ids[len(ids) // 2] = number
    return RaggedBatch(ids, batch.cases, batch.offsets, batch.windows)


def until_it_serves(engine, tagger, batches):
    """Tag until the server computes again; the worker takes itself for so slow that it would rather send."""
    ends = time.monotonic() + 90
    sent = engine.sent_tokens
    while engine.sent_tokens == sent or not engine._servers[0].proven:
        assert time.monotonic() < ends
        engine._here = 1.0
        compare(engine.infer(batches), tagger, batches)


def test_one_workers_poison_is_no_other_workers_on_ray(ray, tagger, batches, tmp_path):
    server = serve(ray, BreakableServer, str(tmp_path))
    innocent, guilty = (RemoteEngine([server], "en", None) for _ in range(2))
    failed = []

    def send_poison():
        for batch in batches[:10]:
            try:
                list(guilty.infer([ids_with(batch, POISON)]))
            except ray.exceptions.RayTaskError as error:
                failed.append(error.cause)

    thread = threading.Thread(target=send_poison)
    thread.start()
    for _ in range(3):
        compare(innocent.infer(batches), tagger, batches)
    thread.join()
    assert [str(error) for error in failed] == ["poison"] * 10
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_a_broken_engine_is_started_anew_and_the_worker_goes_on(ray, tagger, batches, tmp_path):
    server = serve(ray, BreakableServer, str(tmp_path))
    ray.get(server.node.remote())
    engine = RemoteEngine([server], "en", tagger.engine)
    until_it_serves(engine, tagger, batches)
    with pytest.raises(ray.exceptions.RayError):  # the answer, or the end of the process, whichever comes first
        ray.get(server.infer.remote("en", *request_of(FATAL)))
    engine._here = 1.0
    compare(engine.infer(batches), tagger, batches)
    until_it_serves(engine, tagger, batches)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_server_that_is_mute_is_set_aside_until_it_speaks(ray, tagger, batches, tmp_path):
    server = serve(ray, BreakableServer, str(tmp_path))
    process = ray.get(server.process.remote())
    engine = RemoteEngine([server], "en", tagger.engine, late_s=0.5)
    until_it_serves(engine, tagger, batches)
    os.kill(process, signal.SIGSTOP)
    try:
        while engine._servers[0].ready:
            engine._here = 1.0
            compare(engine.infer(batches), tagger, batches)
        own = engine.own_tokens
        compare(engine.infer(batches), tagger, batches)
        assert engine.own_tokens - own == sum(len(batch.ids) for batch in batches)
    finally:
        os.kill(process, signal.SIGCONT)
    until_it_serves(engine, tagger, batches)
    assert len(list(tmp_path.iterdir())) == 1
