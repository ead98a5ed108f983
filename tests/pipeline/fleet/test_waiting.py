"""What a run says while it has no worker, how long it waits, and what it makes of Ray's errors; without Ray running."""

import inspect
import io
import json
from contextlib import contextmanager

import pytest
from ray import exceptions

from pipeline.errors import ConfigError, NoWorkersError, WorkerLostError
from pipeline.exits import exit_of
from pipeline.fleet import ray_errors
from pipeline.fleet.cluster_view import ClusterState
from pipeline.fleet.local_pool import LocalPool
from pipeline.fleet.worker_wait import SOON_S, WorkerWait
from pipeline.observe import progress
from pipeline.observe.progress import Progress
from tests.support.runs import run, write_lines

# What Ray 2.60 says, shortened.
KILLED = """The actor died unexpectedly before finishing this task.
\tclass_name: WorkerActor
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly \
exits with a connection error code 2. End of file. Some common causes include: (1) the process was killed by the OOM killer"""
OWNER = "The actor died unexpectedly before finishing this task.\nThe actor is dead because its owner has died. Owner Id: 0100"
MISSING = """The actor died because of an error raised in its creation task, ray::WorkerActor.__init__() (pid=1, ip=10.0.0.7)
RuntimeError: The actor with name WorkerActor failed to import on the worker. This may be because needed libraries are missing:

Traceback (most recent call last):
ModuleNotFoundError: No module named 'pipeline'"""


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def test_a_run_without_workers_says_so_and_ends():
    clock, said = Clock(), []
    patience = WorkerWait(60.0, said.append, clock)
    for _ in range(61):
        patience.look(0, lambda: "2 wanted; Ray: no node is alive")
        clock.now += 1
    with pytest.raises(NoWorkersError, match=r"no worker has been alive for 61 s \(2 wanted; Ray: no node is alive\)"):
        patience.look(0, lambda: "2 wanted; Ray: no node is alive")
    assert said[0] == "waits for a worker: none has been alive for 8 s (2 wanted; Ray: no node is alive)"


def test_a_worker_ends_the_waiting():
    clock, said = Clock(), []
    patience = WorkerWait(60.0, said.append, clock)
    for alive in [0] * 50 + [1] + [0] * 50:
        patience.look(alive, str)
        clock.now += 1
    assert said.count("") == 1
    patience.look(1, str)
    assert said[-1] == ""


def test_seconds_in_which_the_run_was_suspended_do_not_count():
    clock, said = Clock(), []
    patience = WorkerWait(60.0, said.append, clock)
    patience.look(0, str)
    clock.now += 3600
    patience.look(0, str)
    assert patience.waited_s < SOON_S
    assert said == []


def test_what_is_waited_for_is_said_at_growing_intervals_and_stands_in_the_state(clock):
    stream = io.StringIO()
    shown = Progress(stream)
    for _ in range(300):
        shown.waits(f"waits for {clock.now}")
        clock.now += 1
    assert shown.state()["waits"] == "waits for 399.0"
    shown.waits("")
    assert shown.state()["waits"] == ""
    said = [json.loads(line)["text"] for line in stream.getvalue().splitlines()]
    assert said == [*(f"waits for {float(at)}" for at in (100, 110, 130, 170, 250)), "a worker is alive, the run goes on"]


VIEW = {"workers": 2, "idle": 1, "leases": 1, "parts_begun": 1, "waiting": 0, "packed": True}
IDLE = "1 of 2 workers idle: nothing is left to share, 1 part is being done; a packed file in it cannot be cut"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, IDLE),
        ({"packed": False}, "1 of 2 workers idle: nothing is left to share, 1 part is being done"),
        ({"workers": 9, "idle": 7, "parts_begun": 2}, IDLE.replace("1 of 2", "7 of 9").replace("1 part is", "2 parts are")),
        ({"waiting": 3}, ""),
        ({"idle": 0}, ""),
        ({"leases": 0}, ""),
    ],
)
def test_idle_workers_are_explained_once_they_have_been_idle_for_a_while(clock, change, said):
    stream = io.StringIO()
    shown = Progress(stream)
    clock.now += 1
    for _ in range(int(progress.IDLE_S)):
        shown.view(VIEW | change)
        assert shown.state()["waits"] == ""
        clock.now += 1
    for _ in range(20):
        shown.view(VIEW | change)
        clock.now += 1
    assert shown.state()["waits"] == said
    assert [json.loads(line)["text"] for line in stream.getvalue().splitlines()] == [said] * bool(said)
    shown.view(VIEW | {"idle": 0})
    assert shown.state()["waits"] == ""


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (ClusterState(), "no node is alive"),
        (ClusterState(frozenset("a"), cpus=2, largest=2), "1 node alive with 0 of 2 CPUs free"),
        (ClusterState(frozenset("ab"), cpus=4, largest=2, free=3.5), "2 nodes alive with 3.5 of 4 CPUs free"),
        (ClusterState(frozenset("a")), "1 node alive, none with 1 CPU"),
    ],
)
def test_what_is_said_of_nodes(seen, said):
    assert seen.said(1) == said


def actor_died(text, init_failed=False):
    return exceptions.RayActorError("01", text, init_failed)


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (KILLED, "its process was killed, or crashed"),
        (OWNER, "Ray has ended it"),
        ("The actor died.\nWorker exits with an exit code 7.", "its process ended with exit code 7"),
        ("Quite new words.", "Ray: RayActorError: Quite new words."),
    ],
)
def test_a_death_in_our_words(text, how):
    error = ray_errors.died(3, "10.0.0.7", actor_died(text), "part-000001-00004")
    assert str(error) == f"worker 3 on 10.0.0.7 died while it worked on part-000001-00004 ({how})"
    assert exit_of(error).code == 3


@pytest.mark.parametrize(
    ("cause", "kind", "said"),
    [
        (actor_died(MISSING, True), ConfigError, "No module named 'pipeline'; every node needs the same"),
        (ModuleNotFoundError("No module named 'openvino'"), ConfigError, "ModuleNotFoundError: No module named 'openvino'"),
        (ConfigError("no such model"), ConfigError, "no such model"),
        (exceptions.RuntimeEnvSetupError("pip failed"), ConfigError, "RuntimeEnvSetupError"),
        (exceptions.ActorUnschedulableError("no such node"), WorkerLostError, "ActorUnschedulableError: .*no such node"),
        (actor_died(KILLED), WorkerLostError, "its process was killed, or crashed"),
        (MemoryError("no memory"), WorkerLostError, "MemoryError: no memory"),
    ],
)
def test_a_start_that_fails_in_our_words(cause, kind, said):
    error = ray_errors.cannot_start(3, "10.0.0.7", cause)
    assert type(error) is kind
    with pytest.raises(kind, match=f"worker 3 on 10.0.0.7 cannot start: .*{said}"):
        raise error


def test_the_machine_on_which_a_task_raised():
    text = "Traceback ... \x1b[36mray::WorkerActor.load()\x1b[39m (pid=1010, ip=10.0.0.7, actor_id=03e1)\nValueError"
    error = exceptions.RayTaskError("load", text, ModuleNotFoundError("No module named 'a'"), pid=1010, ip="10.0.0.7")
    assert ray_errors.host_of(error) == "10.0.0.7"
    assert ray_errors.host_of(error.as_instanceof_cause()) == "10.0.0.7"
    assert ray_errors.host_of(ValueError("something")) == ""


def test_a_bug_is_raised_at_once():
    with pytest.raises(ZeroDivisionError):
        ray_errors.cannot_start(3, "", ZeroDivisionError("a bug"))


def test_every_error_of_ray_has_an_exit_code_and_none_is_a_bug():
    """A new Ray with other errors is noticed here."""
    kinds = [kind for _, kind in inspect.getmembers(exceptions, inspect.isclass) if issubclass(kind, BaseException)]
    assert all(issubclass(kind, exceptions.RayError) for kind in kinds)
    codes = {kind.__name__: exit_of(kind.__new__(kind)).code for kind in kinds}
    assert len(codes) == 42
    assert set(codes.values()) == {2, 3}, codes


def test_an_error_of_ray_itself_is_told_as_a_lost_worker():
    with (
        pytest.raises(WorkerLostError, match=r"workers cannot be waited for: Ray says RaySystemError: .*gone"),
        ray_errors.told("workers cannot be waited for"),
    ):
        raise exceptions.RaySystemError("gone")


def test_a_cluster_that_goes_between_two_plans_is_try_again(tmp_path, monkeypatch):
    """At the beginning of a run an address where nobody answers is a wrong setting; later the cluster has gone."""
    write_lines(tmp_path / "in" / "a.jsonl", "Lena came to Oslo.")
    run(tmp_path / "in", tmp_path / "out")
    for path in (*tmp_path.glob("out/_plans/*.done.json"), *tmp_path.glob("out/tags/*")):
        path.unlink()  # as of a run that was stopped
    write_lines(tmp_path / "in" / "b.jsonl", "Lena came to Bergen.")
    begun = []

    @contextmanager
    def crew(work, options, speed, check, told, *shown):
        begun.append(work)
        if len(begun) == refused:
            raise ConfigError("--address h:1: no Ray cluster answers there")
        here = LocalPool(work, check, told)
        here.spread = False
        yield here

    monkeypatch.setattr("pipeline.run.run.RayPool", crew)
    monkeypatch.setattr("pipeline.run.run.RayGauges", lambda name: None)
    refused = 1
    with pytest.raises(ConfigError, match="no Ray cluster"):
        run(tmp_path / "in", tmp_path / "out", workers=1)
    begun.clear()
    refused = 2
    with pytest.raises(WorkerLostError, match=r"no Ray cluster .* it did when this run began") as error:
        run(tmp_path / "in", tmp_path / "out", workers=1)
    assert exit_of(error.value).code == 3
