"""Row 44: whatever Redis does, the output is that of a run without a cache, to the last bit, and the time is bounded."""

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing

import pyarrow.parquet as pq
import pytest

import models
import pipeline.cache.tag_cache
from models.runtime.package import ZOO, open_models
from pipeline.cache.breaker import FIRST_S
from pipeline.cache.envelope import PREFIX, Envelope, context_of
from pipeline.cache.redis_tier import RedisTier
from pipeline.cache.settings import PASSWORD, CacheConfig
from pipeline.cache.tag_cache import TagCache
from pipeline.observe.run_monitor import RunMonitor
from tests.support.redis_server import RedisServer, free_port, needs_redis
from tests.support.runs import run, state, write_lines

FILES, TEXTS = 4, 30
LANGS = ("en", "und")


def text(i):
    return f"Ms <b>Keller</b> of house {i} flew from Oslo to Lyon, and Volta Energy of Cork was {'glad' if i % 3 else 'angry'}."


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two thirds of the texts of a file stand in the next one too."""
    folder = tmp_path_factory.mktemp("data")
    for n in range(FILES):
        write_lines(folder / f"{n}.jsonl", *[text(i) for i in range(10 * n, 10 * n + TEXTS)])
    return folder


DIFFERENT = 10 * (FILES - 1) + TEXTS


@pytest.fixture(autouse=True)
def every_question_is_worth_it(monkeypatch):
    """Texts so few are computed in a few milliseconds on a fast machine, sooner than Redis is asked, or answers."""
    monkeypatch.setattr(TagCache, "_seconds_for", lambda self, texts: math.inf)
    monkeypatch.setattr(pipeline.cache.tag_cache, "SHORTEST_S", 5.0)


def table(out):
    return pq.read_table(out / "tags").sort_by("id")


def plain(source, out, **more):
    return run(source, out, cache={"local_mb": 0}, split_tokens=900, **more)


@pytest.fixture(scope="module")
def golden(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("golden") / "out"
    assert plain(data, out).parts >= 3
    return table(out)


@pytest.fixture
def server(tmp_path):
    with closing(RedisServer(tmp_path)) as one:
        yield one


def cached(server, source, out, expected, local_mb=0.0, timeout_ms=2000, **more):
    """Run with that server and check the output; gives what the cache did."""
    url = server if isinstance(server, str) else server.url
    config = {"redis_url": url, "local_mb": local_mb, "timeout_ms": timeout_ms, **more.pop("cache", {})}
    result = run(source, out, **{"split_tokens": 900, "cache": config, **more})
    assert result.status == "finished"
    assert table(out).equals(expected)
    (path,) = (out / "_runs").glob("*.metrics.json")
    return json.loads(path.read_text())["cache"] | {"tokens": result.tokens, "seconds": result.seconds}


@needs_redis
def test_cold_then_warm(server, data, golden, tmp_path):
    cold = cached(server, data, tmp_path / "cold", golden)
    assert cold["computed"] == DIFFERENT
    assert cold["shared"] > 0  # later parts find what earlier ones told
    warm = cached(server, data, tmp_path / "warm", golden)
    assert (warm["hit_rate"], warm["tokens"]) == (1.0, 0)
    assert "computed" not in warm
    assert warm["saved_s"] > 0
    for cache in (cold, warm):
        assert not {"bad_values", "failed_calls", "refused_values"} & cache.keys()
    with server.client() as client:
        keys = client.keys("*")
        assert len(keys) == DIFFERENT
        assert all(key.startswith(PREFIX) for key in keys)
        assert all(0 < client.ttl(key) <= CacheConfig().ttl_s for key in keys)
        assert not any(b"Keller" in client.get(key) or b"Oslo" in client.get(key) for key in keys)  # no text leaves


@needs_redis
def test_values_expire(server, data, golden, tmp_path):
    cached(server, data, tmp_path / "a", golden, cache={"ttl_s": 1})
    with server.client() as client:
        ends = time.monotonic() + 20
        while client.dbsize():
            assert time.monotonic() < ends
            time.sleep(0.05)
    assert cached(server, data, tmp_path / "b", golden)["computed"] == DIFFERENT


@needs_redis
def test_part_of_the_texts_known(server, data, golden, tmp_path):
    cached(server, data, tmp_path / "a", golden)
    with server.client() as client:
        client.delete(*client.keys("*")[::3])
    some = cached(server, data, tmp_path / "b", golden)
    assert 0 < some["computed"] < DIFFERENT


def test_dead_at_the_start(data, golden, tmp_path):
    cache = cached(f"redis://127.0.0.1:{free_port()}", data, tmp_path / "out", golden)
    assert 1 <= cache["failed_calls"] <= 3
    assert cache["failed_ConnectionError"] == cache["failed_calls"]
    assert cache["spared_calls"] >= 1
    assert cache["spent_s"] < 0.5


@needs_redis
def test_killed_in_the_middle_of_a_run(server, data, golden, tmp_path, monkeypatch):
    cached(server, data, tmp_path / "warm", golden)
    done, heard = RunMonitor.done, []

    def killing(self, part):
        if not heard:
            server.process.kill()
            server.process.wait()
        heard.append(part)
        done(self, part)

    monkeypatch.setattr(RunMonitor, "done", killing)
    cache = cached(server, data, tmp_path / "out", golden)
    assert cache["shared"] > 0
    assert cache["computed"] > 0
    assert cache["failed_calls"] >= 1


@needs_redis
def test_mute_costs_no_more_than_the_timeouts_until_the_breaker_opens(server, data, golden, tmp_path):
    """SIGSTOP: connections are accepted, and nothing is ever answered."""
    server.pause()
    cache = cached(server, data, tmp_path / "out", golden, timeout_ms=50, cache={"connect_timeout_ms": 50})
    assert 1 <= cache["failed_calls"] <= 3
    assert set(cache) & {"failed_TimeoutError", "failed_ConnectionError"}
    assert cache["spent_s"] < 3 * 0.1 + 0.3


@needs_redis
def test_mute_in_the_middle_of_a_run(server, data, golden, tmp_path, monkeypatch):
    cached(server, data, tmp_path / "warm", golden)
    done = RunMonitor.done

    def pausing(self, part):
        server.pause()
        done(self, part)

    monkeypatch.setattr(RunMonitor, "done", pausing)
    cache = cached(server, data, tmp_path / "out", golden, timeout_ms=100)
    assert cache["shared"] > 0
    assert cache["computed"] > 0
    assert 1 <= cache["failed_calls"] <= 3
    assert cache["spent_s"] < 3 * 0.2 + 0.5


@needs_redis
def test_the_breaker_lets_a_server_that_came_back_in_again(server):
    now = [0.0]
    shared = RedisTier(CacheConfig(redis_url=server.url, timeout_ms=100, connect_timeout_ms=100))
    shared._breaker._clock = lambda: now[0]
    shared.put([(b"k", b"v")], 10.0)
    server.pause()
    for _ in range(3):
        assert shared.get([b"k"], 10.0) == [None]
    server.resume()
    assert shared.get([b"k"], 10.0) == [None]
    assert shared.counts["spared_calls"] == 1
    now[0] += FIRST_S
    assert shared.get([b"k"], 10.0) == [b"v"]
    assert shared.counts["failed_calls"] == 3
    shared.close()


def test_a_server_that_drips_is_left_at_the_deadline():
    """A byte now and then satisfies every timeout of a socket, and never ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def drip():
            connection, _ = listening.accept()
            with connection:
                try:
                    connection.sendall(b"+OK\r\n+OK\r\n$1000000\r\n")
                    while not over.wait(0.02):
                        connection.sendall(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        shared = RedisTier(CacheConfig(redis_url=f"redis://127.0.0.1:{listening.getsockname()[1]}", timeout_ms=150))
        began = time.monotonic()
        assert shared.get([b"k"], 0.3) == [None]
        assert time.monotonic() - began < 0.6
        assert shared.counts["failed_calls"] == 1
        ends = time.monotonic() + 10  # the one that waited is freed by the end of its connection, while the server drips on
        while any(one.name == "textmill-cache" for one in threading.enumerate()):
            assert time.monotonic() < ends
            time.sleep(0.01)
        over.set()
        thread.join()


@needs_redis
@pytest.mark.parametrize("kind", ["foreign", "truncated", "huge", "list"])
def test_wrong_values_are_misses_and_counted(kind, server, data, golden, tmp_path):
    cached(server, data, tmp_path / "a", golden)
    with server.client() as client:
        keys = sorted(client.keys("*"))
        values = client.mget(keys)
        for n, key in enumerate(keys):
            if kind == "list":
                client.delete(key)
                client.rpush(key, "x")
                continue
            wrong = {
                "foreign": values[n - 1],
                "truncated": values[n][:-1],
                "huge": values[n] + bytes(100_000),
            }
            client.set(key, wrong[kind])
    cache = cached(server, data, tmp_path / "b", golden)
    assert cache["computed"] == DIFFERENT
    if kind != "list":  # for Redis itself, no value
        assert cache["bad_values"] == DIFFERENT
    assert cached(server, data, tmp_path / "c", golden)["hit_rate"] == 1.0  # right ones have taken their place


@needs_redis
def test_evicting(server, data, golden, tmp_path):
    with server.client() as client:
        cached(server, data, tmp_path / "a", golden)
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 10_000)
        for name in "bc":
            cached(server, data, tmp_path / name, golden)
        assert client.info("stats")["evicted_keys"] > 0


@needs_redis
def test_full_and_evicting_nothing(server, data, golden, tmp_path):
    with server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        cache = cached(server, data, tmp_path / "out", golden)
        assert cache["refused_values"] > 0
        assert "failed_calls" not in cache
        assert client.dbsize() == 0


@needs_redis
def test_poisoned_by_another_version_of_the_model(server, data, tmp_path):
    """The values of one version at the keys of the other: none is believed."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        shutil.copytree(ZOO / "en-fast", folder)
    manifest = json.loads((folders[1] / "model.json").read_text())
    (folders[1] / "model.json").write_text(json.dumps({**manifest, "name": "version two"}))
    digests = [open_models(str(folder)).digest for folder in folders]
    assert digests[0] != digests[1]
    arithmetic = models.load(folders[0], threads=1).engine.arithmetic
    seals = [Envelope(context_of(digest, LANGS, [arithmetic])) for digest in digests]
    plain(data, tmp_path / "golden", model=str(folders[1]))
    expected = table(tmp_path / "golden")
    cached(server, data, tmp_path / "a", expected, model=str(folders[0]))
    with server.client() as client:
        for i in range(DIFFERENT):
            raw = text(i).encode()
            value = client.get(seals[0].key(raw))
            assert value is not None
            client.set(seals[1].key(raw), value)
    cache = cached(server, data, tmp_path / "b", expected, model=str(folders[1]))
    assert (cache["computed"], cache["bad_values"]) == (DIFFERENT, DIFFERENT)


@needs_redis
def test_password_by_the_environment_and_nowhere_else(data, golden, tmp_path, monkeypatch):
    secret = "a-secret-that-is-nowhere"
    with closing(RedisServer(tmp_path, password=secret)) as server:
        for given in (None, "wrong"):
            if given:
                monkeypatch.setenv(PASSWORD, given)
            cache = cached(server, data, tmp_path / f"without {given}", golden)
            assert cache["failed_AuthenticationError"] == cache["failed_calls"] >= 1
        out = tmp_path / "out"
        command = [sys.executable, "-m", "jobs", "tag", str(data), str(out), "--model", "en-fast", "--id-column", "id"]
        command += ["--threads", "1", "--set", f"cache.redis_url={server.url}"]
        done = subprocess.run(command, env={**os.environ, PASSWORD: secret}, capture_output=True, text=True, check=True)
        assert secret not in done.stdout + done.stderr
        assert not any(secret.encode() in data for data in state(out).values())
        assert table(out).equals(golden)
        monkeypatch.setenv(PASSWORD, secret)
        assert cached(server, data, tmp_path / "with", golden)["hit_rate"] == 1.0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key, cert


@needs_redis
def test_tls_is_checked(data, golden, tmp_path, certificates):
    with closing(RedisServer(tmp_path, tls=certificates)) as server:
        trusted = {"ca_file": str(certificates[2])}
        cached(server, data, tmp_path / "a", golden, cache=trusted)
        assert cached(server, data, tmp_path / "b", golden, cache=trusted)["hit_rate"] == 1.0
        unknown = cached(server, data, tmp_path / "c", golden)
        assert unknown["computed"] == FILES * TEXTS  # nothing is remembered here, and nothing was found there
        assert 1 <= unknown["failed_calls"] <= 3


@needs_redis
def test_two_workers_on_ray_find_what_this_process_told(server, data, golden, tmp_path):
    cached(server, data, tmp_path / "cold", golden)
    warm = cached(server, data, tmp_path / "warm", golden, workers=2)
    assert (warm["hit_rate"], warm["tokens"]) == (1.0, 0)


@needs_redis
def test_both_languages_and_markup(server, tmp_path):
    texts = [
        text(1),
        "王小明昨天从北京飞到上海。",
        "12:30",
        "Привет из Москвы",
        text(1),
        "<p>Anna flew to Oslo.</p>",
        "<p>Oslo</p>",
    ]
    write_lines(tmp_path / "in.jsonl", *texts, "Anna flew to Oslo.", "")
    more = {"model": "en-fast+zh", "clean": "html", "languages": "all", "keep_text": True}
    plain(tmp_path / "in.jsonl", tmp_path / "golden", **more)
    expected = table(tmp_path / "golden")
    assert set(expected["lang"].to_pylist()) == {"en", "zh", "und"}
    cached(server, tmp_path / "in.jsonl", tmp_path / "a", expected, **more)
    assert cached(server, tmp_path / "in.jsonl", tmp_path / "b", expected, **more)["hit_rate"] == 1.0
    # Another model tags the same texts, and finds nothing of this one's.
    cache = run(tmp_path / "in.jsonl", tmp_path / "c", languages="all", cache={"redis_url": server.url})
    assert cache.tokens > 0


@needs_redis
def test_a_careful_worker_asks_and_tells_too(server, data, golden, tmp_path, monkeypatch):
    """A split over which somebody died: its model is in another process, its cache the same."""
    from pipeline.sink import ledger

    monkeypatch.setattr(ledger, "splits_that_crashed", lambda store: {f"part-000001-{n:05d}" for n in range(10)})
    cold = cached(server, data, tmp_path / "a", golden, split_tokens=10_000)
    assert cold["computed"] == DIFFERENT
    assert cached(server, data, tmp_path / "b", golden, split_tokens=10_000)["hit_rate"] == 1.0
