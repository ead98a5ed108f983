"""`textmill watch` as a process, with real hooks: it tags what has settled, once, also when it is killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from shutil import which
from urllib.request import Request, urlopen

import pytest

from pipeline.trigger.notifications import MOST, HttpNotifications, Notifications, listening, paths_in
from tests.support import ROOT
from tests.support.nights import DAYS, conf_of, environment, write_day
from tests.support.redis_server import free_port
from tests.support.runs import rows


def records(out):
    return [json.loads(path.read_text()) for path in sorted((out / "_watch" / "batches").glob("*.json"))]


def test_batches_are_tagged_as_they_come_and_a_hint_makes_it_look_now(tmp_path, watch):
    landing, out = tmp_path / "landing", tmp_path / "out"
    folders = [landing / f"dt={day}" for day in DAYS[:3]]
    write_day(folders[0], DAYS[0])
    (folders[0] / "_SUCCESS").touch()
    conf = conf_of(tmp_path, landing, out, tag='[watch]\npoll_s = 1000\nsettle_s = 1000\nhttp = "127.0.0.1:0"')
    running = watch(conf, TEXTMILL_HINT_TOKEN="secret")
    running.wait(text=f"watching {landing}")
    (port,) = [int(line["text"].split()[-1]) for line in running.lines if "hints are taken" in line.get("text", "")]
    done = running.wait(decision="done")
    assert (done["batch"], done["why"].split()[2]) == (str(folders[0]), "0")
    assert {row["dt"] for row in rows(out)} == {str(DAYS[0])}

    def hint(path, token="secret"):
        request = Request(f"http://127.0.0.1:{port}/hint", str(path).encode(), {"Authorization": f"Bearer {token}"})
        with urlopen(request, timeout=10) as answer:
            return answer.status

    write_day(folders[1], DAYS[1])
    with pytest.raises(OSError, match="401"):
        hint(folders[1], "wrong")
    assert hint(folders[1]) == 202  # before it is whole
    running.wait(batch=str(folders[1]), decision="wait")
    (folders[1] / "_SUCCESS").touch()
    for _ in range(3):
        hint(folders[1])
    running.wait(batch=str(folders[1]), decision="done")
    hint(f"{landing}/nowhere")
    running.wait(batch=f"{landing}/nowhere", decision="wait")
    assert running.end() == 0
    assert len(rows(out)) == 12
    assert [one["exit_code"] for one in records(out)] == [0, 0]
    decisions = [(line["batch"], line["decision"]) for line in running.lines if line["event"] == "decision"]
    assert [decisions.count((str(folder), "run")) for folder in folders] == [1, 1, 0]
    assert not any("Keller" in str(line) for line in running.lines)


@pytest.mark.parametrize("point", ["batch.begin", "part.rename.after", "batch.ran", "batch.rename.after"])
def test_killed_in_the_middle_the_next_watcher_goes_on(point, tmp_path, watch):
    landing, out = tmp_path / "landing", tmp_path / "out"
    write_day(landing, DAYS[0])
    (landing / "_SUCCESS").touch()
    conf = conf_of(tmp_path, landing, out, tag="[watch]\npoll_s = 0.1")
    killed = watch(conf, TEXTMILL_FAULT=point)
    assert killed.process.wait(60) == -signal.SIGKILL
    again = watch(conf)
    if point == "batch.rename.after":  # it had been run
        again.wait(text=f"watching {landing}")
    else:
        again.wait(decision="done")
    assert again.end() == 0
    assert sorted(row["id"] for row in rows(out)) == sorted(f"{DAYS[0]}-posts-{i}" for i in range(6))
    (record,) = records(out)
    assert record["exit_code"] == 0
    assert not list((out / "tags").glob("*")) or len(list((out / "tags").glob("*"))) == 1


def test_a_batch_that_was_rewritten_after_it_was_tagged_is_told_and_its_old_tags_stay(tmp_path, watch):
    landing, out = tmp_path / "landing", tmp_path / "out"
    write_day(landing, DAYS[0])
    (landing / "_SUCCESS").touch()
    running = watch(conf_of(tmp_path, landing, out, tag="[watch]\npoll_s = 0.1"))
    running.wait(decision="done")
    write_day(landing, DAYS[0], 9)
    os.utime(landing / "_SUCCESS")
    why = f"exit code 4 {DAYS[0]}-posts.jsonl: changed since it was tagged; give --retag-files with its path to tag it anew"
    done = running.wait(decision="done", why=why)
    assert running.end() == 0
    assert sorted(one["exit_code"] for one in records(out)) == [0, 4]
    assert len(rows(out)) == 6
    assert done["revision"] in {one["revision"] for one in records(out)}


def test_sigterm_in_the_middle_of_a_run_is_clean(tmp_path, watch):
    landing, out = tmp_path / "landing", tmp_path / "out"
    write_day(landing, DAYS[0], 3000)
    (landing / "_SUCCESS").touch()
    conf = conf_of(tmp_path, landing, out, tag="split_tokens = 3000\n[watch]\npoll_s = 0.1")
    running = watch(conf)
    until = time.monotonic() + 60
    while not list((out / "tags").glob("*.parquet")):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert running.end() == 0
    assert records(out) == []
    assert not [path for path in (out / "_staging").rglob("*") if path.is_file()]
    before = len(rows(out))
    assert 0 < before < 3000
    again = watch(conf)
    again.wait(decision="done")
    assert again.end() == 0
    assert len({row["id"] for row in rows(out)}) == len(rows(out)) == 3000


class Server:
    """A Redis of its own."""

    def __init__(self, folder, port):
        self.command = ["redis-server", "--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "yes"]
        self.port = port
        self.start()

    def start(self):
        import redis

        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        self.client = redis.Redis(port=self.port)
        until = time.monotonic() + 30
        while True:
            try:
                self.client.ping()
                return
            except redis.RedisError:
                assert time.monotonic() < until
                time.sleep(0.05)

    def stop(self):
        self.client.close()
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def redis_server(tmp_path):
    if which("redis-server") is None:
        pytest.skip("no redis-server here: apt-get install redis-server")
    server = Server(tmp_path, free_port())
    yield server
    server.stop()


def test_a_redis_stream_hints_and_may_go_away(tmp_path, watch, redis_server):
    landing, out = tmp_path / "landing", tmp_path / "out"
    landing.mkdir()
    redis_server.client.xadd("textmill:hints", {"path": "of before"})
    more = f'[watch]\npoll_s = 1000\nredis = "redis://127.0.0.1:{redis_server.port}/0"'
    running = watch(conf_of(tmp_path, landing, out, tag=more))
    running.wait(text=f"watching {landing}")
    write_day(landing / "a", DAYS[0])
    (landing / "a" / "_SUCCESS").touch()
    until = time.monotonic() + 60
    while not any(line.get("decision") == "done" for line in running.lines):  # until it listens, nobody hears
        redis_server.client.xadd("textmill:hints", {"path": str(landing / "a")})
        assert time.monotonic() < until
        time.sleep(0.2)
    redis_server.stop()
    running.wait(event="note", text="no hints from Redis for now: ConnectionError; polling goes on")
    write_day(landing / "b", DAYS[1])
    (landing / "b" / "_SUCCESS").touch()
    redis_server.start()  # what was said meanwhile is lost: so it looks
    running.wait(batch=str(landing / "b"), decision="done")
    assert running.end() == 0
    assert len(rows(out)) == 12
    assert "of before" not in str(running.lines)


def test_messages_name_paths_or_nothing():
    assert paths_in(b"/landing/a\n/landing/b\n") == ["/landing/a", "/landing/b"]
    assert paths_in(b'{"paths": ["/a", 7]}') == ["/a"]
    assert paths_in(b"") == paths_in(b"{") == paths_in(b'{"Records": []}') == paths_in(b"[1]") == paths_in(b"[" * 60000) == [""]
    assert paths_in(b"\xff") == ["\ufffd"]


def test_hints_are_kept_until_somebody_waits_and_bounded():
    hints = Notifications()
    for i in range(2 * MOST):
        hints.hint(f"/{i}")
        hints.hint(f"/{i}")
    assert len(hints.wait(0, lambda: None)) == MOST
    assert hints.wait(0, lambda: None) == []
    hints.hint("")
    began = time.monotonic()
    assert hints.wait(30, lambda: None) == []
    assert time.monotonic() - began < 10


def test_the_hook_takes_no_large_or_broken_requests_and_leaves_no_thread():
    hook, hints, told = HttpNotifications("127.0.0.1:0"), Notifications(), []
    with listening([hook], hints, told.append):
        until = time.monotonic() + 30
        while True:
            with closing(HTTPConnection("127.0.0.1", hook.port, timeout=10)) as client:
                client.request("GET", "/health")
                if client.getresponse().status == 200:
                    break
            assert time.monotonic() < until
        for method, path, headers, status in [
            ("POST", "/hint", {"Content-Length": "999999999"}, 413),
            ("POST", "/hint", {"Content-Length": "-1"}, 413),
            ("POST", "/other", {}, 404),
            ("GET", "/hint", {}, 404),
            ("POST", "/hint", {}, 202),
        ]:
            with closing(HTTPConnection("127.0.0.1", hook.port, timeout=10)) as client:
                client.putrequest(method, path)
                for name, value in headers.items():
                    client.putheader(name, value)
                client.endheaders()
                assert client.getresponse().status == status
    assert "HttpHints" not in {thread.name for thread in threading.enumerate()}
    assert told == []


class Broken:
    def listen(self, hint, stopped):
        hint("/a")
        raise RuntimeError("no more")


def test_a_source_that_breaks_is_told_and_takes_nothing_with_it():
    hints, told = Notifications(), []
    with listening([Broken()], hints, told.append):
        assert hints.wait(30, lambda: None) == ["/a"]
    assert told == ["no more hints from Broken: RuntimeError: no more"]


@pytest.mark.parametrize(
    "line", ['http = "nowhere"', 'http = "127.0.0.1:x"', 'redis = "http://x"', "settle_s = 0", 'marker = ""']
)
def test_settings_that_are_wrong_end_it_with_2(line, tmp_path):
    conf = conf_of(tmp_path, tmp_path / "in", tmp_path / "out", tag=f"[watch]\n{line}")
    done = subprocess.run(
        [sys.executable, "-m", "jobs", "watch", str(conf)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, f"watch.{line.split()[0]}" in done.stderr) == (2, True), done.stderr
    assert not Path(tmp_path / "out").exists()
