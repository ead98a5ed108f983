"""Answers that are lost, wrong, late or half: what a store promises holds all the same."""

import threading
import time
from contextlib import suppress
from importlib.util import find_spec

import pytest

from pipeline.errors import (
    ClaimedError,
    ConfigError,
    DeniedError,
    FolderError,
    LostClaimError,
    MissingError,
    QuotaError,
    SafeModeError,
    StandbyError,
    TakenError,
    UnauthenticatedError,
    UnavailableError,
)
from pipeline.store import retrying_client as calls
from pipeline.store.claim import holder
from pipeline.store.hdfs.java_errors import error_of
from pipeline.store.hdfs.native import NativeClient
from pipeline.store.open import open_store
from pipeline.store.settings import TOKEN_ENV, StoreConfig
from tests.support.stores import read, write
from tests.support.webhdfs_stand_in import StandIn

CLAIM = "_claim"


@pytest.fixture
def pair():
    """Two NameNodes of one file system."""
    one = StandIn()
    other = StandIn(one.files)
    yield one, other
    one.close()
    other.close()


@pytest.fixture
def server(pair):
    return pair[0]


def opened(*servers, **more):
    given = {"timeout_s": 1.0, "retry_s": 2.0, "user": "u", **more}
    config = StoreConfig(client="webhdfs", namenodes=tuple(one.url for one in servers), **given)
    return open_store("hdfs://x/root", config)


@pytest.fixture
def store(server):
    return opened(server)


def names(server):
    return sorted(path.removeprefix("/root/") for path in server.files.files)


def test_a_rename_whose_answer_is_lost_has_happened(store, server):
    write(store, "a", b"data")
    server.faults["RENAME"] = ["lost"]
    store.rename_no_overwrite("a", "b")
    assert names(server) == ["b"]
    assert [op for op, _ in server.asked].count("RENAME") == 2  # that of the write, and this one


def test_a_rename_that_is_sent_to_both_namenodes_has_happened_once(pair):
    store = opened(*pair)
    write(store, "a", b"data")
    for one in pair:
        one.faults["RENAME"] = ["lost"]
    store.rename_no_overwrite("a", "b")
    assert names(pair[0]) == ["b"]


def test_a_rename_that_is_carried_out_late_changes_nothing(store, server):
    write(store, "a", b"data")
    server.faults["RENAME"] = ["late"]
    threading.Timer(1.5, server.released.set).start()
    store.rename_no_overwrite("a", "b")
    assert names(server) == ["b"]


def test_a_rename_that_is_refused_is_never_taken_for_done(store, server):
    write(store, "a", b"a")
    server.faults["RENAME"] = ["refuse"] * 100
    with pytest.raises(UnavailableError, match="refused"):
        store.rename_no_overwrite("a", "b")
    server.faults.clear()
    assert names(server) == ["a"]
    server.faults["RENAME"] = ["refuse"]
    store.rename_no_overwrite("a", "b")
    assert names(server) == ["b"]


def test_another_one_who_was_first_is_told(store, server):
    write(store, "a", b"ours")
    rename = server.files.rename

    def other_first(source, target):
        server.files.put(target, b"theirs")
        return rename(source, target)

    server.files.rename = other_first
    with pytest.raises(TakenError):
        store.rename_no_overwrite("a", "b")
    server.files.rename = rename
    assert (read(store, "a"), read(store, "b")) == (b"ours", b"theirs")


def test_a_file_never_moves_into_a_folder(store, server):
    write(store, "a", b"data")
    rename = server.files.rename

    def folder_first(source, target):
        if source == "/root/a":
            server.files.make(target)
        return rename(source, target)

    server.files.rename = folder_first
    with pytest.raises(FolderError):
        store.rename_no_overwrite("a", "b")
    server.files.rename = rename
    assert names(server) == ["a"]


@pytest.mark.parametrize("op", ["GETFILESTATUS", "LISTSTATUS", "OPEN", "CREATE", "CREATE2", "RENAME", "DELETE", "MKDIRS"])
@pytest.mark.parametrize("fault", ["lost", "reset", "nonsense", "RetriableException"])
def test_one_fault_in_any_request_is_made_good(store, server, op, fault):
    if fault == "nonsense" and op in ("OPEN", "CREATE2", "CREATE", "DELETE", "MKDIRS"):
        pytest.skip("no JSON is read there")
    data = bytes(range(256)) * 4
    server.faults[op] = [fault]
    write(store, "a/b", data)
    assert read(store, "a/b") == data
    store.rename_no_overwrite("a/b", "c/d")
    assert [(entry.path, entry.size) for entry in store.list()] == [("c/d", len(data))]
    assert read(store, "c/d") == data
    store.delete("c")
    assert list(store.list("c")) == []
    assert not server.faults[op]
    # A file that was sent and not answered for may stay under a name of its own in its folder, which is removed as a whole.
    assert all(name.startswith("a/b.") for name in names(server))


def test_an_upload_that_breaks_off_is_seen_by_nobody(store, server):
    server.faults["CREATE2"] = ["reset"] * 100
    with pytest.raises(UnavailableError):
        write(store, "a", b"data" * 1000)
    assert "a" not in names(server)


def test_reads_go_on_where_they_broke_off(store, server):
    data = bytes(range(256)) * 4096
    server.files.put("/root/a", data)
    server.faults["OPEN"] = ["short", "reset", "short", "short"]
    assert read(store, "a") == data
    assert not server.faults["OPEN"]


def test_a_file_that_has_become_shorter_is_no_half_file(store, server):
    server.files.put("/root/a", b"x" * 1000)
    with store.open_read("a") as stream:
        server.files.put("/root/a", b"x" * 10)
        with pytest.raises(UnavailableError, match="changed"):
            stream.read()


def test_a_standby_is_passed_over_and_two_are_told(pair):
    store = opened(*pair)
    write(store, "a", b"data")
    pair[0].faults["GETFILESTATUS"] = pair[1].faults["OPEN"] = ["org.apache.hadoop.ipc.StandbyException"]
    assert read(store, "a") == b"data"
    for one in pair:
        one.faults["GETFILESTATUS"] = ["org.apache.hadoop.ipc.StandbyException"] * 100
    with pytest.raises(StandbyError) as caught:
        store.stat("a")
    assert caught.value.exit_code == 3


def test_a_server_that_is_mute_costs_no_more_than_it_may(server):
    store = opened(server, timeout_s=0.3, retry_s=0.5)
    server.faults["GETFILESTATUS"] = ["mute"] * 100
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        store.stat("a")
    assert time.monotonic() - began < 5
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        store.stat("a")  # it has been waited for in vain: once is enough now
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("org.apache.hadoop.hdfs.server.namenode.SafeModeException", SafeModeError, 3),
        ("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException", QuotaError, 4),
        ("org.apache.hadoop.hdfs.protocol.NSQuotaExceededException", QuotaError, 4),
        ("org.apache.hadoop.security.AccessControlException", DeniedError, 4),
        ("org.apache.hadoop.ipc.StandbyException", StandbyError, 3),
        ("org.apache.hadoop.security.token.SecretManager$InvalidToken", UnauthenticatedError, 3),
        ("java.io.IOException", UnavailableError, 3),
        ("java.io.FileNotFoundException", MissingError, 4),
    ],
)
def test_what_a_server_throws_is_told_by_its_class(server, name, kind, code):
    store = opened(server, retry_s=0.0)
    write(store, "a")
    server.faults["MKDIRS"] = [name]
    with pytest.raises(kind) as caught:
        store.rename_no_overwrite("a", "folder/b")
    assert type(caught.value) is kind
    assert caught.value.exit_code == code
    assert type(error_of("p", "RemoteException", f"{name}: was auch immer")) is kind


def test_the_other_client_serves_where_the_first_fails(server, caplog):
    from pipeline.store.hdfs.store import HdfsStore
    from pipeline.store.hdfs.web import WebClient

    end = threading.Event()

    class Stuck:
        name = "stuck"

        def __getattr__(self, name):
            return lambda *rest: end.wait(30)

    config = StoreConfig(timeout_s=0.5, retry_s=5.0, user="u")
    before = dict(calls.noticed)
    store = HdfsStore("hdfs://x/root", "/root", [Stuck, lambda: WebClient([server.url], config)], config, False)
    write(store, "a", b"data")
    assert read(store, "a") == b"data"
    assert calls.noticed["store_changes"] - before.get("store_changes", 0) == 1
    assert calls.noticed["store_clients_given_up"] - before.get("store_clients_given_up", 0) == 1
    assert "goes on with its client 2 of 2" in caplog.text
    end.set()


def test_an_exchange_that_was_killed_is_taken_back_or_finished(server):
    from pipeline.store.hdfs.web import WebClient

    store = opened(server)
    files = server.files
    rename_file = files.rename

    def rename(source, target):
        """Folders too."""
        if source in files.folders:
            moved = {p: p.replace(source, target, 1) for p in files.files if p.startswith(f"{source}/")}
            files.folders.discard(source)
            files.make(target)
            for path, new in moved.items():
                files.files[new] = files.files.pop(path)
            return True
        return rename_file(source, target)

    files.rename = rename
    assert WebClient.name == "webhdfs"
    for steps, left in ((1, ["_next/tags/new", "tags/old"]), (2, ["_next/tags/old", "tags/new"])):
        for path in [*files.files, *files.folders]:
            files.delete(path)
        write(store, "_next/tags/new")
        write(store, "tags/old")
        moves = [("tags", "_before/tags"), ("_next/tags", "tags")][:steps]
        for source, target in moves:
            store._move(store._at(source), store._at(target))
        opened(server).recover_swap("_next/tags", "tags")
        assert names(server) == left


def elsewhere(server):
    """The claim's owner is on another machine from now on."""
    path = next(path for path in server.files.files if path.endswith(".held"))
    data, when = server.files.files[path]
    server.files.files[path] = (data.replace(b'"space": "', b'"space": "another '), when)


def test_a_claim_expires_by_the_servers_clock(server):
    """Those of the machines may be wrong."""
    first, second, third = (opened(server, lease_s=60.0) for _ in range(3))
    with first.claim(CLAIM) as held:
        elsewhere(server)
        with pytest.raises(ClaimedError, match=r"in [56]\d s"), second.claim(CLAIM):
            pass
        server.files.clock_ms += 63_000
        with second.claim(CLAIM) as mine:
            with pytest.raises(ClaimedError), third.claim(CLAIM):
                pass
            mine()
        held()  # its own clock says that there is time
    assert holder(first, CLAIM) is None


def asked_until(held, until):
    while time.monotonic() < until:
        held()
        time.sleep(0.05)


def test_a_claim_that_cannot_be_renewed_is_lost(server):
    store = opened(server, lease_s=1.5, retry_s=0.1)
    with store.claim(CLAIM) as held:
        server.faults["CREATE"] = ["reset"] * 10_000
        until = time.monotonic() + 20
        with pytest.raises(LostClaimError, match="could not be renewed"):
            asked_until(held, until)
        server.faults.clear()


def test_a_renewal_that_is_carried_out_when_the_claim_has_ended_is_nobodys(server):
    """A mute machine that wakes up does what it was told, when others have come and gone."""
    for _ in range(2):
        with opened(server, lease_s=60.0).claim(CLAIM):
            pass
    write(opened(server), f"{CLAIM}/000001.held.0003", b"")
    write(opened(server), f"{CLAIM}/000002.held.0003", b"")
    with opened(server, lease_s=60.0).claim(CLAIM) as held:
        held()
    assert names(server) == [f"{CLAIM}/000003.released"]


@pytest.mark.parametrize("fault", ["lost", "reset", "late"])
def test_a_taking_whose_answer_is_lost_is_a_taking_or_leaves_nothing(server, fault):
    for number in range(12):
        server.faults.clear()
        server.released.clear()
        server.faults["RENAME" if number % 2 else "CREATE"] = [fault] if number < 6 else [fault, fault]
        with suppress(UnavailableError), opened(server, lease_s=60.0, timeout_s=0.3, retry_s=0.5).claim(CLAIM) as held:
            held()
        server.released.set()
        server.faults.clear()
        with opened(server, lease_s=60.0).claim(CLAIM) as held:
            held()


def test_a_token_goes_with_every_request(server, monkeypatch):
    monkeypatch.setenv(TOKEN_ENV, "t0ken")
    store = opened(server)
    write(store, "a", b"data")
    assert read(store, "a") == b"data"
    assert {given.get("delegation") for given in server.queries} == {"t0ken"}
    assert "t0ken" not in repr(store.config)
    assert store.config.told()["token"] == "t0ken"  # a worker elsewhere needs it


def test_kerberos_names_what_it_needs(server):
    pytest.importorskip("hdfs")
    if find_spec("requests_kerberos"):
        pytest.skip("requests-kerberos is installed")
    with pytest.raises(ConfigError, match="hdfs\\[kerberos\\]"):
        write(opened(server, kerberos=True), "a")


def test_principal_and_keytab_go_to_the_native_client(monkeypatch):
    import hdfs_native

    given = {}
    monkeypatch.setattr(hdfs_native, "Client", lambda url, **more: given.update(more, url=url))
    NativeClient("hdfs://h:1", StoreConfig(principal="mill@X", keytab="/k", hadoop_conf="/conf"))
    assert given == {"url": "hdfs://h:1", "config_dir": "/conf", "kerberos_principal": "mill@X", "kerberos_keytab": "/k"}
