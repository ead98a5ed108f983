"""A real HDFS that loses machines, answers nothing, refuses or changes while a run is at work: the output is as without."""

import json
import threading
import time
from uuid import uuid4

import pytest

from pipeline.errors import OutputError, QuotaError, SafeModeError
from pipeline.scheduler.events import Finished
from pipeline.scheduler.policy import Policy
from pipeline.sink.attempt import Attempt
from pipeline.sink.layout import CLAIM, STAGING
from pipeline.store.claim import holder
from pipeline.store.open import open_store
from pipeline.store.retrying_client import noticed
from pipeline.worker.worker import TagWorker
from tests.support import hadoop
from tests.support.remote import Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
FILES, LINES = 6, 30
CLIENTS = ["auto", "webhdfs"]


def filled(hdfs, client, **more):
    place = Place(f"{hdfs.url}/faults/{uuid4().hex[:8]}", hdfs.config(client=client, timeout_s=5.0, **more))
    for i in range(FILES):
        place.put_lines(f"in/{i}.jsonl", *[f"Ms Keller of house {i} {j} lives in Cork." for j in range(LINES)])
    return place


def tagged(place, **more):
    return place.run(split_tokens=450, **more)


def table(place):
    return sorted((row["id"], row["sentiment"], [(e["start"], e["label"]) for e in row["entities"]]) for row in place.rows())


def check(place, result):
    """I1 to I8: as much as was planned, nothing twice, the same tags, counts that agree, a rerun that changes nothing."""
    rows = table(place)
    assert len({row[0] for row in rows}) == len(rows) == FILES * LINES
    assert rows == golden(rows)
    assert (result.status, result.dead_letters) == ("finished", 0)
    store = open_store(f"{place.url}/out", place.config)
    assert holder(store, CLAIM) is None
    with store.open_read(result.manifest.removeprefix(f"{store.url}/")) as stream:
        parts = json.load(stream)["parts"]
    assert sum(part["rows"] for part in parts) == result.rows_out
    before = place.state()
    assert tagged(place).status == "nothing to do"
    # A machine that was mute may carry out later what it was told and what was given up; then that lies among what is staged,
    # and goes with the next run.
    passing = (f"{STAGING}/", "_state/")
    after = place.state()
    assert all(before.get(path) == data for path, data in after.items() if not path.startswith(passing))
    assert all(path in after for path in before if not path.startswith(passing))


_golden = []


def golden(rows):
    """What the first run without a fault gave; the texts are the same in every test."""
    return _golden[0] if _golden else rows


@pytest.fixture(scope="module", autouse=True)
def _without_faults(cluster):
    place = filled(cluster, "native")
    tagged(place)
    _golden.append(table(place))
    assert len(_golden[0]) == FILES * LINES
    yield
    _golden.clear()


class Trouble:
    """Something that happens once, in this process' run: before the second split is read, or before it is committed."""

    def __init__(self, monkeypatch, when, action):
        self.threads, self.happened = [], 0
        owner, name = (TagWorker, "_run") if when == "read" else (Attempt, "commit")
        before = getattr(owner, name)

        def troubled(this, *rest, **more):
            self.happened += 1
            if self.happened == 2:
                action(self)
            return before(this, *rest, **more)

        monkeypatch.setattr(owner, name, troubled)

    def later(self, seconds, *calls):
        """Make calls after a time, while the run goes on."""

        def make():
            time.sleep(seconds)
            for call in calls:
                call()

        self.threads.append(threading.Thread(target=make))
        self.threads[-1].start()

    def end(self):
        for thread in self.threads:
            thread.join()
        assert self.happened >= 2


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("when", ["read", "commit"])
@pytest.mark.parametrize("what", ["kill", "pause"])
def test_a_datanode_dies_or_is_mute(cluster, monkeypatch, client, when, what):
    place = filled(cluster, client)
    trouble = Trouble(monkeypatch, when, lambda trouble: cluster(what, "dn1"))
    try:
        result = tagged(place)
        trouble.end()
    finally:
        cluster("restart" if what == "kill" else "resume", "dn1")
    check(place, result)


@pytest.mark.parametrize(
    ("verb", "node", "mend"), [("kill", "dn1", "restart"), ("pause", "dn1", "resume"), ("restart", "nn0", None)]
)
def test_ray_workers_while_a_machine_dies_or_is_mute(cluster, monkeypatch, verb, node, mend):
    """It happens when the driver hears of the first part; both workers are at their next splits then."""
    place, heard, before = filled(cluster, "auto"), [], Policy.on

    def on(policy, event):
        if isinstance(event, Finished):
            heard.append(event)
            if len(heard) == 1:
                cluster(verb, node)
        return before(policy, event)

    monkeypatch.setattr(Policy, "on", on)
    try:
        result = tagged(place, workers=2)
    finally:
        if mend:
            cluster(mend, node)
    assert len(heard) >= FILES
    check(place, result)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("when", ["read", "commit"])
def test_the_namenode_is_restarted(cluster, monkeypatch, client, when):
    place = filled(cluster, client)
    trouble = Trouble(monkeypatch, when, lambda trouble: trouble.later(0, lambda: cluster("restart", "nn0")))
    result = tagged(place)
    trouble.end()
    check(place, result)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_namenode_is_mute_for_half_a_minute(cluster, monkeypatch, client):
    place = filled(cluster, client)

    def pause(trouble):
        cluster("pause", "nn0")
        trouble.later(30, lambda: cluster("resume", "nn0"))

    before, trouble = noticed["store_retries"], Trouble(monkeypatch, "commit", pause)
    result = tagged(place)
    trouble.end()
    assert noticed["store_retries"] > before
    check(place, result)


@pytest.mark.parametrize("client", CLIENTS)
def test_safe_mode_that_ends_and_that_does_not(cluster, monkeypatch, client):
    place = filled(cluster, client)

    def enter(trouble):
        cluster("admin", "dfsadmin", "-safemode", "enter")
        trouble.later(8, lambda: cluster("admin", "dfsadmin", "-safemode", "leave"))

    with monkeypatch.context() as patched:
        trouble = Trouble(patched, "commit", enter)
        result = tagged(place)
        trouble.end()
    check(place, result)
    impatient = filled(cluster, client, retry_s=3.0)
    trouble = Trouble(monkeypatch, "commit", lambda trouble: cluster("admin", "dfsadmin", "-safemode", "enter"))
    try:
        with pytest.raises(SafeModeError, match="safe mode") as caught:
            tagged(impatient)
    finally:
        cluster("admin", "dfsadmin", "-safemode", "leave")
    assert caught.value.exit_code == 3
    tagged(impatient)
    assert table(impatient) == _golden[0]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(("give", "clear"), [(["-setSpaceQuota", "1k"], "-clrSpaceQuota"), (["-setQuota", "14"], "-clrQuota")])
def test_a_quota_ends_the_run_at_once(cluster, client, give, clear):
    place = filled(cluster, client)
    path = f"{place.url.removeprefix(cluster.url)}/out"
    cluster("admin", "dfs", "-mkdir", "-p", path)
    cluster("admin", "dfsadmin", *give, path)
    began = time.monotonic()
    try:
        with pytest.raises(QuotaError, match="quota") as caught:
            tagged(place)
    finally:
        cluster("admin", "dfsadmin", clear, path)
    assert caught.value.exit_code == 4
    assert time.monotonic() - began < 60
    tagged(place)
    assert table(place) == _golden[0]


@pytest.mark.parametrize("client", ["native", "webhdfs"])
def test_a_user_without_permission(cluster, client, monkeypatch):
    place = filled(cluster, client)
    other = Place(place.url, place.config.model_copy(update={"user": "somebody"}))
    monkeypatch.setenv("HADOOP_USER_NAME", "somebody")
    with pytest.raises(OutputError, match="permission denied") as caught:
        tagged(other)
    assert caught.value.exit_code == 2
    assert not place.state()


def test_a_file_that_is_replaced_after_it_was_planned(cluster, monkeypatch):
    place = filled(cluster, "auto")

    def replace(trouble):
        place.store.delete("in/5.jsonl")
        place.put_lines("in/5.jsonl", "another text")

    trouble = Trouble(monkeypatch, "read", replace)
    tagged(place)
    trouble.end()
    others = [row for row in _golden[0] if not row[0].startswith("5-")]
    assert [row for row in table(place) if not row[0].startswith("5-")] == others
    assert len(table(place)) == len(others) + 1  # what it is now is planned and tagged in the same run


def test_a_file_that_is_still_being_written_is_left_alone(cluster):
    from hdfs_native import Client, WriteOptions

    place = filled(cluster, "auto")
    path = f"{place.url.removeprefix(cluster.url)}/in/open.jsonl"
    writer = Client(cluster.url).create(path, WriteOptions())
    writer.write(b'{"id": "x", "text": "half"}\n' * 400_000)
    result = tagged(place)
    writer.close()
    assert (result.skipped, result.rows_out) == ({"unfinished": 1}, FILES * LINES)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    if reason := hadoop.why_not():
        pytest.skip(reason)
    found = hadoop.Hadoop(tmp_path_factory.mktemp("ha") / "root", "--ha")
    yield found
    found.stop()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_failover_in_the_middle_of_a_commit(pair, monkeypatch, client):
    place = filled(pair, client)
    one, other = ("nn0", "nn1") if client == "auto" else ("nn1", "nn0")
    trouble = Trouble(
        monkeypatch, "commit", lambda trouble: trouble.later(0, lambda: pair("admin", "haadmin", "-failover", one, other))
    )
    result = tagged(place)
    trouble.end()
    check(place, result)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_active_namenode_dies_and_the_other_takes_twenty_seconds(pair, monkeypatch, client):
    place = filled(pair, client)
    # The tests before leave nn0 active; here it dies, and is the standby afterwards.
    one, other = ("nn0", "nn1") if client == "auto" else ("nn1", "nn0")

    def kill(trouble):
        pair("kill", one)
        trouble.later(20, lambda: pair("admin", "haadmin", "-transitionToActive", "--forceactive", other))

    trouble = Trouble(monkeypatch, "commit", kill)
    result = tagged(place)
    trouble.end()
    pair("restart", one)
    check(place, result)
