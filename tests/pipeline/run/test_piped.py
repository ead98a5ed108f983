"""Standard input and named pipes: read once, every document once, whatever is killed when."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import load_config
from pipeline.errors import ConfigError, UnavailableError
from pipeline.run import piped
from pipeline.run.run import tag_documents
from pipeline.store.local import LocalStore
from tests.support.runs import rows

COMMAND = [sys.executable, "-m", "jobs", "tag", "-"]
MORE = ["--id-column", "id", "--model", "en-fast", "--threads", "1"]


def lines(count, first=0):
    return "".join(json.dumps({"id": str(first + i), "text": f"in Oslo {first + i}"}) + "\n" for i in range(count)).encode()


def tag(output, data, *more, **options):
    return subprocess.run([*COMMAND, str(output), *MORE, *more], input=data, capture_output=True, timeout=100, **options)


def ids(output):
    return sorted((row["id"] for row in rows(output)), key=int)


@pytest.mark.slow
def test_a_stream_is_tagged_and_known_when_it_comes_again(tmp_path):
    out = tmp_path / "out"
    done = tag(out, lines(30))
    assert done.returncode == 0, done.stderr
    assert b"standard input: read to the end before anything is tagged" in done.stderr
    assert ids(out) == [str(i) for i in range(30)]
    assert not (out / "_pipes").exists()
    again = tag(out, lines(30))
    assert (again.returncode, json.loads(again.stdout)["status"]) == (0, "nothing to do")
    assert not (out / "_pipes").exists()
    assert tag(out, lines(5, 30), "--split-tokens", "20").returncode == 0
    assert ids(out) == [str(i) for i in range(35)]
    empty = tag(out, b"")
    assert empty.returncode == 0
    assert json.loads(empty.stdout)["warnings"][0]["code"] == "no_files"


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["while it is read", "while it is tagged"])
def test_killed_at_any_time_each_document_is_there_once(tmp_path, moment):
    """Killed while the stream is read nothing of it is there; killed later, the next run finishes it, given the stream or not."""
    out = tmp_path / "out"
    env = {**os.environ, "TEXTMILL_FAULT": "part.rename.after:2"} if moment == "while it is tagged" else dict(os.environ)
    process = subprocess.Popen(
        [*COMMAND, str(out), *MORE, "--split-tokens", "60"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=env,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(lines(30))
    if moment == "while it is read":
        process.stdin.flush()
        while b"read to the end" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGKILL)
    with process:
        process.communicate(timeout=100)
    assert process.returncode == -signal.SIGKILL
    assert len(rows(out)) < 30
    assert (not rows(out)) == (moment == "while it is read")
    assert tag(out, lines(30), "--split-tokens", "60").returncode == 0
    assert ids(out) == [str(i) for i in range(30)]
    assert not list(out.glob("_pipes/*")) + list(out.glob("_staging/*/*"))


@contextmanager
def stdin_of(data, monkeypatch):
    """Standard input of this process is a pipe out of which the data comes."""
    read, write = os.pipe()

    def feed():
        with os.fdopen(write, "wb") as stream:
            stream.write(data)

    thread = threading.Thread(target=feed)
    thread.start()
    monkeypatch.setattr(piped, "_handle", lambda source: read)
    try:
        yield
    finally:
        os.close(read)
        thread.join()


def spooled(tmp_path, sources, kind="", check=lambda: None):
    store = LocalStore(tmp_path / "out")
    return [(url.rpartition("/")[2], Path(url).read_bytes()) for url in piped.spool(store, sources, kind, check)]


def as_parquet():
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["in Oslo"]}), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("data", "kind", "suffix"),
    [
        (lines(2), "", "jsonl"),
        (b"\xef\xbb\xbf \n{}", "", "jsonl"),
        (gzip.compress(lines(2), mtime=0), "", "jsonl"),
        (as_parquet(), "", "parquet"),
        (b"text\nOslo\n", "csv", "csv"),
        (b"Oslo\n", "text", "txt"),
        (b"", "", "jsonl"),
    ],
)
def test_the_format_is_told_or_shows_in_the_first_bytes(tmp_path, monkeypatch, data, kind, suffix):
    with stdin_of(data, monkeypatch):
        ((name, found),) = spooled(tmp_path, ["-"], kind)
    assert found == data
    assert name.startswith("stdin-")
    assert name.endswith(f".{suffix}")


@pytest.mark.parametrize(("data", "kind"), [(b"Oslo\n", ""), (gzip.compress(b"Oslo", mtime=0)[:12], ""), (b"{}", "pdf")])
def test_a_format_that_nobody_tells_is_an_error(tmp_path, monkeypatch, data, kind):
    with stdin_of(data, monkeypatch), pytest.raises(ConfigError, match="Give --format with one of jsonl, csv"):
        spooled(tmp_path, ["-"], kind)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("pause_s", [0.0, 0.5])
def test_a_named_pipe_is_waited_for_and_read_to_its_end(tmp_path, pause_s):
    path = tmp_path / "posts.csv"
    os.mkfifo(path)

    def feed():
        time.sleep(pause_s)
        with path.open("wb") as stream:
            time.sleep(pause_s)  # a writer that is silent is no end
            for _ in range(3):
                stream.write(b"x" * 300_000)
                stream.flush()

    thread = threading.Thread(target=feed)
    thread.start()
    ((name, found),) = spooled(tmp_path, [str(path)])
    thread.join()
    assert found == b"x" * 900_000
    assert name.startswith("posts-")
    assert name.endswith(".csv")


def test_a_named_pipe_into_which_nobody_writes_is_no_reason_to_hang(tmp_path, monkeypatch):
    monkeypatch.setattr(piped, "WRITER_S", 0.5)
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(UnavailableError, match=r"a\.jsonl: nobody has opened this pipe for writing"):
        spooled(tmp_path, [str(tmp_path / "a.jsonl")])
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_who_stops_need_not_wait_for_a_silent_pipe(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    asked = []

    def check():
        asked.append(None)
        if len(asked) > 2:
            raise KeyboardInterrupt

    writer = os.open(tmp_path / "a.jsonl", os.O_RDWR)
    with pytest.raises(KeyboardInterrupt):
        spooled(tmp_path, [str(tmp_path / "a.jsonl")], "", check)
    os.close(writer)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_pipes_and_files_are_not_one_input(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines(1))
    for sources, message in ((["-", str(tmp_path / "a.jsonl")], "can be read only once"), (["-", "-"], "given twice")):
        with pytest.raises(ConfigError, match=message):
            tag_documents(load_config(None, (), {"sources": sources, "output": tmp_path / "out", "model": "en-fast"}))
    assert not (tmp_path / "out").exists()
