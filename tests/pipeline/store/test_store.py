"""The contract of a store; every backend passes it."""

import errno
import gc
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import (
    ClaimedError,
    DeniedError,
    FolderError,
    MissingError,
    NoSpaceError,
    StoreError,
    TakenError,
    UnavailableError,
)
from pipeline.store import fsspec_client
from pipeline.store.claim import holder
from pipeline.store.fsspec_client import FsspecClient
from pipeline.store.hdfs.native import NativeClient
from pipeline.store.local import LocalStore
from pipeline.store.open import open_store
from pipeline.store.owner import this_process
from pipeline.store.settings import StoreConfig
from tests.support.stores import read, write

NAMES = ["a b", "100%", "%20", "#x", "a+b", "what?", "one;two", "a&b", "it's", "北京.txt", "back\\slash", "x" * 200]
NAMES += ["dt=2026-11-22/a"]


BACKENDS = ["local", "hdfs-native", "webhdfs", "s3"]


def opened(backend, request, name):
    """A store below a folder of its own."""
    if backend == "local":
        return LocalStore(request.getfixturevalue("tmp_path") / name)
    name = f"contract/{uuid4().hex[:8]}/{name}"
    if backend == "s3":
        request.getfixturevalue("s3")
        return open_store(f"s3://textmill/{name}")
    hdfs = request.getfixturevalue("hdfs")
    client = "native" if backend == "hdfs-native" else "webhdfs"
    return open_store(f"{hdfs.url}/{name}", hdfs.config(client=client, retry_s=5.0))


@pytest.fixture(params=BACKENDS)
def store(request):
    return opened(request.param, request, "root")


@pytest.fixture
def local(tmp_path):
    return LocalStore(tmp_path / "root")


def fail(store, path, error):
    with store.create_exclusive(path) as stream:
        stream.write(b"half")
        raise error


@pytest.mark.parametrize("name", NAMES)
def test_names_round_trip(store, name):
    write(store, f"in/{name}", b"data")
    store.rename_no_overwrite(f"in/{name}", f"out/{name}")
    assert [(entry.path, entry.size) for entry in store.list()] == [(f"out/{name}", 4)]
    assert read(store, f"out/{name}") == b"data"
    store.delete(f"out/{name}")
    assert store.stat(f"out/{name}") is None


PATTERNS = [("exp[1]", "exp1"), ("a*b", "axb"), ("q?x", "qyx"), ("[!a]", "b"), ("{a,b}", "a"), ("x**", "xy")]
PATTERNS += [("a?versionId=1", "a")]  # a question of s3fs


@pytest.mark.parametrize(("name", "beside"), PATTERNS)
def test_a_path_is_data_never_a_pattern(store, name, beside):
    for folder in (name, beside):
        write(store, f"{folder}/out/part", folder.encode())
        write(store, f"files/{folder}", folder.encode())
    assert [entry.path for entry in store.list(f"{name}/out")] == [f"{name}/out/part"]
    assert store.stat(f"files/{name}").size == len(name)
    assert read(store, f"{name}/out/part") == name.encode()
    store.rename_no_overwrite(f"files/{name}", f"moved/{name}")
    with pytest.raises(TakenError):
        write(store, f"moved/{name}")
    with store.claim(f"{name}/_claim") as held:
        held()
        assert holder(store, f"{beside}/_claim") is None
    store.swap_folders(name, "moved")
    store.recover_swap(name, "moved")
    store.delete(name)
    store.delete(f"moved/out/{name}")
    store.delete("moved")
    left = {entry.path: read(store, entry.path) for entry in store.list()}
    assert left == {f"{beside}/out/part": beside.encode(), f"files/{beside}": beside.encode()}


def test_many_objects_are_removed_at_once_and_a_refusal_is_told(request, monkeypatch):
    store = opened("s3", request, "root")
    client = FsspecClient("s3", "s3://textmill", StoreConfig())
    monkeypatch.setattr(fsspec_client, "_AT_ONCE", 100)
    paths = [f"{store._at('many')}/{i:04d}" for i in range(103)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda path: client.put(path, b"x", True), paths))
    asked, call = [], client.fs.call_s3
    monkeypatch.setattr(client.fs, "call_s3", lambda method, **more: asked.append(method) or call(method, **more))
    client.remove(paths)
    assert asked == ["delete_objects"] * 2
    assert list(store.list("many")) == []
    refused = {"Errors": [{"Key": "a", "Code": "AccessDenied"}]}
    monkeypatch.setattr(client.fs, "call_s3", lambda method, **more: refused)
    with pytest.raises(DeniedError, match="textmill/a: permission denied"):
        client.remove(["textmill/a"])


def test_files_of_any_file_system_are_removed_by_their_names():
    client = FsspecClient("memory", "memory://x", StoreConfig())
    for path in ("/exp1/part", "/exp[1]/part"):
        client.fs.pipe_file(path, b"x")
    client.remove(["/exp[1]/part", "/absent"])
    assert client.fs.find("/") == ["/exp1/part"]


def test_places_cover_the_file_where_the_store_tells(store):
    write(store, "a", b"x" * (9 << 20))
    places = store.block_locations("a", 9 << 20)
    if store.config is None or store.config.client != "webhdfs":  # native does not tell
        assert list(places) == []
        return
    at = 0
    for place in places:
        assert place.start == at
        assert place.hosts
        assert all(host and all(host) for host in place.hosts)
        at = place.end
    assert at == 9 << 20


def test_list_is_sorted_and_whole(store):
    for i in (3, 1, 2):
        write(store, f"b/{i}/x")
    write(store, "a")
    write(store, "b-file")
    assert [entry.path for entry in store.list()] == ["a", "b-file", "b/1/x", "b/2/x", "b/3/x"]
    assert [entry.path for entry in store.list("b/2")] == ["b/2/x"]
    assert list(store.list("absent")) == []


def test_a_file_is_surveyed_as_itself_and_holds_nothing(store):
    write(store, "in/a", b"data")
    assert [(entry.path, entry.size) for entry in store.survey("in/a", lambda _: True).files] == [("in/a", 4)]
    assert list(store.list("in/a")) == []


def test_a_folder_gets_another_name_whole(store):
    """In one step, or file by file with the last one last; the same call goes on with one that was killed."""
    for name in ("report/about.json", "report/a", "report/page/b"):
        write(store, f"new/{name}", name.encode())
    store.rename_folder("new/report", "reports/day", "about.json")
    assert [entry.path for entry in store.list()] == [f"reports/day/{name}" for name in ("a", "about.json", "page/b")]
    write(store, "new/report/a", b"other")
    with pytest.raises((TakenError, FolderError)):
        store.rename_folder("new/report", "reports/day", "about.json")
    assert read(store, "reports/day/a") == b"report/a"


def test_what_is_local_is_read_by_others(local):
    write(local, "a/b", b"data")
    assert local.local_path("a/b").read_bytes() == b"data"


def test_links_lead_in_no_circle(local):
    store = local
    write(store, "a/x")
    os.symlink(store.root / "a", store.root / "a" / "self")
    os.symlink(store.root / "nothing", store.root / "a" / "broken")
    assert [entry.path for entry in store.list()] == ["a/x"]


def test_create_is_exclusive_and_leaves_nothing_of_a_failure(store):
    write(store, "a", b"first")
    with pytest.raises(TakenError):
        write(store, "a", b"second")
    assert read(store, "a") == b"first"
    with pytest.raises(ZeroDivisionError):
        fail(store, "b", ZeroDivisionError())
    assert store.stat("b") is None


def test_rename_overwrites_nothing(store):
    write(store, "a", b"a")
    write(store, "b", b"b")
    with pytest.raises(TakenError):
        store.rename_no_overwrite("a", "b")
    assert (read(store, "a"), read(store, "b")) == (b"a", b"b")
    write(store, "folder/x")
    with pytest.raises(FolderError):
        store.rename_no_overwrite("a", "folder")
    with pytest.raises(MissingError):
        store.rename_no_overwrite("absent", "c")
    assert [entry.path for entry in store.list()] == ["a", "b", "folder/x"]


def test_folders_change_names(store):
    write(store, "old/a", b"old")
    write(store, "new/b", b"new")
    store.swap_folders("new", "old")
    assert [entry.path for entry in store.list()] == ["new/a", "old/b"]
    write(store, "reports/day/a", b"old")
    write(store, "reports/day.new/b", b"new")
    store.swap_folders("reports/day.new", "reports/day")
    store.recover_swap("reports/day.new", "reports/day")
    assert [entry.path for entry in store.list("reports")] == ["reports/day.new/a", "reports/day/b"]


def test_errors_are_told_apart(store):
    with pytest.raises(MissingError):
        store.open_read("absent")
    write(store, "folder/x")
    with pytest.raises(FolderError):
        store.stat("folder")
    with pytest.raises(StoreError, match="leads out"):
        store.open_read("../x")
    assert NoSpaceError.exit_code == 3
    assert DeniedError.exit_code == 4
    with pytest.raises(NoSpaceError):
        fail(store, "full", OSError(errno.ENOSPC, "No space left on device"))
    assert store.stat("full") is None


def test_bytes_are_read_from_any_place(store):
    data = bytes(i * 7 % 251 for i in range(1_500_000))
    write(store, "a", data)
    assert store.stat("a").size == len(data)
    for span in (None, (700_000, 900_000)):
        with store.open_read("a", span) as stream:
            assert stream.read(4) == data[:4]
            assert stream.seek(700_000) == 700_000
            assert stream.read(250_000) == data[700_000:950_000]
            assert stream.seek(-10, os.SEEK_END) == len(data) - 10
            assert stream.read() == data[-10:]
            assert stream.read() == b""
            stream.seek(5)
            assert stream.readline(100) == data[5:105]


def test_a_claim_is_held_by_one(store):
    with store.claim("_claim") as held:
        held()
        with pytest.raises(ClaimedError, match=f"process {os.getpid()}"), store.claim("_claim"):
            pass
        held()
    assert holder(store, "_claim") is None
    with store.claim("_claim") as held:
        held()
        assert holder(store, "_claim") == str(this_process())
    assert [entry.path for entry in store.list()] == ["_claim/000002.released"]


def test_of_many_who_publish_at_once_one_is_first(store):
    for i in range(6):
        write(store, f"staged/{i}", b"%d" % i)

    def publish(number):
        try:
            store.rename_no_overwrite(f"staged/{number}", "parts/a")
        except TakenError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(publish, range(6)))
    assert won.count(True) == 1
    assert read(store, "parts/a") == b"%d" % won.index(True)
    assert [entry.path for entry in store.list("staged")] == [f"staged/{i}" for i in range(6) if not won[i]]


@pytest.mark.parametrize("steps", range(5))
def test_an_exchange_of_objects_that_was_killed_is_finished(request, monkeypatch, steps):
    store = opened("s3", request, "root")
    for path in ("new/a", "new/b", "old/a", "old/c"):
        write(store, path, path.encode())
    carry, done = store._carry, []

    def killed(source, target):
        if len(done) == steps:
            raise KeyboardInterrupt
        done.append(source)
        carry(source, target)

    monkeypatch.setattr(store, "_carry", killed)
    with pytest.raises(KeyboardInterrupt):
        store.swap_folders("new", "old")
    monkeypatch.undo()
    store.recover_swap("new", "old")
    found = {entry.path: read(store, entry.path) for entry in store.list()}
    assert found == {"new/a": b"old/a", "new/c": b"old/c", "old/a": b"new/a", "old/b": b"new/b"}
    store.recover_swap("new", "old")
    assert {entry.path: read(store, entry.path) for entry in store.list()} == found


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, DeniedError),
        (errno.EROFS, DeniedError),
        (errno.EDQUOT, NoSpaceError),
        (errno.EIO, UnavailableError),
        (errno.ESTALE, UnavailableError),
    ],
)
def test_what_the_system_says_is_told_apart(store, number, kind):
    with pytest.raises(kind, match="f: "):
        fail(store, "f", OSError(number, os.strerror(number)))
    assert store.stat("f") is None


def test_a_write_that_failed_is_not_ended_by_whoever_collects_it(hdfs, monkeypatch):
    """hdfs-native's own writer closes itself when it is collected: in any thread, without a deadline, forever if all are dead."""
    import hdfs_native

    closed = []
    monkeypatch.setattr(hdfs_native.FileWriter, "close", lambda writer: closed.append("closed"))

    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise OSError("the disk is gone")

    client = NativeClient(hdfs.url, hdfs.config())
    with pytest.raises(UnavailableError, match="the disk is gone"):
        client.create(f"/contract/{uuid4().hex[:8]}", Broken(), True)
    gc.collect()
    assert closed == []


def test_a_call_that_comes_back_when_the_process_ends_does_not_abort_it(cluster):
    """The NameNode is mute, the call is given up, and the answer comes while the interpreter is being taken down."""
    code = f"""
import sys, time
import jobs.cli
from pipeline.store.timeouts import CallTimeoutError, call_with_timeout
from pipeline.store.hdfs.native import NativeClient
from pipeline.store.settings import StoreConfig

client = NativeClient({cluster.url!r}, StoreConfig.model_validate_json({cluster.config().model_dump_json()!r}))
client.status("/")
print("well", flush=True)
sys.stdin.readline()

def main():
    try:
        call_with_timeout(0.5, lambda: client.status("/"))
    except CallTimeoutError:
        raise SystemExit(3)

class Last:
    def __del__(self, write=sys.stdout.write, flush=sys.stdout.flush, sleep=time.sleep):
        write("ending\\n"), flush(), sleep(3)

sys.modules["last"] = Last()
jobs.cli.main = main
jobs.cli.command()
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "well\n"
    cluster("pause", "nn0")
    try:
        child.stdin.write("go\n")
        child.stdin.flush()
        child.stdout.readline()
    finally:
        cluster("resume", "nn0")
    assert child.wait(30) == 3
    child.stdin.close()
    child.stdout.close()


@given(st.lists(st.tuples(st.sampled_from("cdr"), st.integers(0, 3), st.integers(0, 3)), max_size=30))
def test_any_order_of_calls_agrees_with_a_dict(tmp_path_factory, calls):
    store = LocalStore(tmp_path_factory.mktemp("store"))
    model: dict[str, bytes] = {}
    for number, (call, one, other) in enumerate(calls):
        first, second, data = f"f/{one}", f"f/{other}", str(number).encode()
        if call == "c" and first in model:
            with pytest.raises(TakenError):
                write(store, first, data)
        elif call == "c":
            write(store, first, data)
            model[first] = data
        elif call == "d":
            store.delete(first)
            model.pop(first, None)
        elif first in model and second in model:
            with pytest.raises(TakenError):
                store.rename_no_overwrite(first, second)
        elif first in model:
            store.rename_no_overwrite(first, second)
            model[second] = model.pop(first)
        elif second not in model:
            with pytest.raises(MissingError):
                store.rename_no_overwrite(first, second)
    assert {entry.path: read(store, entry.path) for entry in store.list()} == model
