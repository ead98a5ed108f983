import gc
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

import models
from models.runtime.tagger import Tagger
from pipeline.store.timeouts import exit_if_stuck
from tests.support import hadoop
from tests.support.leaks import MARK, SOON_S, Leaks, present

STATUS, LEAKS, TEMPORARY = pytest.StashKey[int](), pytest.StashKey[Leaks](), pytest.StashKey[Path]()


def pytest_configure(config):
    """Temporary files go into a folder of this session, so that those that are left are seen; pytest's and Ray's stay."""
    usual, mark = tempfile.gettempdir(), f"{os.getpid()}-{time.time_ns()}"
    # Not within the folder of the process that started this one: names of sockets have 107 bytes at most.
    folder = config.stash[TEMPORARY] = Path(tempfile.mkdtemp(prefix="textmill-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", usual)
    os.environ.setdefault("RAY_TMPDIR", usual)
    os.environ |= {"TMPDIR": str(folder), MARK: mark}
    tempfile.tempdir = None
    config.stash[LEAKS] = Leaks(mark, folder)
    present.append(config.stash[LEAKS])
    config.pluginmanager.register(config.stash[LEAKS])


def pytest_collection_finish():
    """What was imported is not searched again and again for what a test left."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def nothing_left_by_the_session(request):
    yield from _nothing_left(request, "session")


@pytest.fixture(scope="module", autouse=True)
def nothing_left_by_the_module(request):
    yield from _nothing_left(request, "module")


@pytest.fixture(autouse=True)
def nothing_left(request, caplog):
    def drop():
        """What ends with its last reference, which may be a fixture's value or a logged error, shall end now."""
        request.node.funcargs.clear()
        for when in ("setup", "call"):
            caplog.get_records(when).clear()

    yield from _nothing_left(request, "function", drop)


def _nothing_left(request, scope, drop=lambda: None):
    leaks, failed = request.config.stash[LEAKS], request.session.testsfailed
    yield
    leaks.over(scope)
    drop()
    if scope == "session":
        gc.unfreeze()
    gc.collect()  # now, so that what nobody closed is told of this test and not of a later one
    if scope == "module":
        gc.freeze()
    # Of what failed everything is still there: its traceback holds it.
    found = leaks.found(0.0 if request.session.testsfailed > failed else SOON_S)
    assert not found or request.session.testsfailed > failed, "left behind: " + "; ".join(found)


def pytest_sessionfinish(session, exitstatus):
    session.config.stash[STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """As the command does: a call that a test left hanging shall not abort the process at its end."""
    gc.unfreeze()
    shutil.rmtree(config.stash[TEMPORARY], ignore_errors=True)
    exit_if_stuck(config.stash.get(STATUS, 0))


@pytest.fixture(scope="session")
def tagger() -> Tagger:
    return models.load("en-fast", threads=1)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """An HDFS of one NameNode and two DataNodes that tests may pause and kill, and must leave as it was."""
    if reason := hadoop.why_not():
        pytest.skip(reason)
    found = hadoop.Hadoop(tmp_path_factory.mktemp("hdfs") / "root")
    yield found
    found.stop()


@pytest.fixture(scope="session")
def hdfs(request):
    """An HDFS: the one that is named, or else one of our own."""
    if given := os.environ.get(hadoop.ENDPOINT):
        return hadoop.Given(given.rstrip("/"))
    return request.getfixturevalue("cluster")


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """The address of an S3 server (moto) with a bucket `textmill`; the environment names it and its keys."""
    pytest.importorskip("s3fs", reason="no S3: pip install 'textmill[s3]'")
    pytest.importorskip("moto", reason="no S3 server: pip install 'moto[server]'")
    import boto3

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    log = (tmp_path_factory.mktemp("s3") / "log").open("wb")
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    keys = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"}
    before = {key: os.environ.get(key) for key in keys}
    os.environ.update(keys)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                urlopen(url, timeout=1).close()
                break
            except (URLError, OSError):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
        boto3.client("s3").create_bucket(Bucket="textmill")
        yield url
    finally:
        process.kill()
        process.wait()
        log.close()
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})
