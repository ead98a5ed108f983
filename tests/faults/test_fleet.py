"""Workers and drivers that die, hang or cannot start, on a real Ray: the output is as without, and nothing is left."""

import json
import random
import signal
import time

import pytest

from tests.faults.fleet_runs import SPLITS, check, start, table, tagged

# Stands in every process: the worker that is first to come to the point `where` does what `what` says, once.
ONCE = """
import os, signal, sys, time
import pipeline.worker.worker as worker
run = worker.TagWorker.run
def once(self, split, *rest, **more):
    try:
        os.close(os.open({mark!r}, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return run(self, split, *rest, **more)
    {what}
worker.TagWorker.run = once
"""
# Of the leases, in the order in which all workers together take them up, those of some numbers kill who has them.
PREEMPTED = """
import fcntl, os, signal
import pipeline.worker.worker as worker
run = worker.TagWorker.run
def counted(self, split, *rest, **more):
    with open({count!r}, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("x")
        file.flush()
        number = file.tell()
    if number in {deadly!r}:
        os.kill(os.getpid(), signal.SIGKILL)
    return run(self, split, *rest, **more)
worker.TagWorker.run = counted
"""
CANNOT_START = """
import os
import pipeline.worker.worker as worker
def start(self, work):
    os._exit(7)
worker.TagWorker.__init__ = start
"""


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", marks=pytest.mark.slow),
        "import ctypes; ctypes.string_at(0)",  # a segmentation fault in native code
        pytest.param("os._exit(3)", marks=pytest.mark.slow),
        "time.sleep(3600)",  # it hangs; another does its split, and it is ended with the run
        pytest.param("raise MemoryError", marks=pytest.mark.slow),
    ],
    ids=["killed", "segfault", "exit", "hangs", "no-memory"],
)
def test_a_worker_that_is_lost(what, houses, golden, tmp_path):
    mark = tmp_path / "mark"
    code, stdout, stderr = tagged(houses, tmp_path / "out", code=ONCE.format(mark=str(mark), what=what))
    assert code == 0, stderr
    assert mark.exists()
    check(tmp_path / "out", golden, stdout)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_three_of_ten_leases_take_their_worker_with_them(seed, houses, golden, tmp_path):
    deadly = sorted(random.Random(seed).sample(range(1, SPLITS + 1), round(0.3 * SPLITS)))
    count = tmp_path / "count"
    code = PREEMPTED.format(count=str(count), deadly=deadly)
    code, stdout, stderr = tagged(houses, tmp_path / "out", code=code)
    assert code == 0, stderr
    assert len(count.read_text()) >= SPLITS + len(deadly)
    check(tmp_path / "out", golden, stdout)


def test_an_error_in_our_code_is_no_fault_of_the_machine(houses, tmp_path):
    """It ends the run with its traceback, and is not tried elsewhere."""
    what = "raise ZeroDivisionError('a bug')"
    code, _, stderr = tagged(houses, tmp_path / "out", code=ONCE.format(mark=str(tmp_path / "mark"), what=what))
    assert code not in (0, 3)
    assert "ZeroDivisionError: a bug" in stderr
    assert "Traceback" in stderr


def test_workers_that_cannot_start_end_the_run_soon(houses, tmp_path):
    code, _, stderr = tagged(houses, tmp_path / "out", code=CANNOT_START)
    assert code == 3
    assert "no worker is left: they died before they had loaded the model" in stderr


def test_a_driver_that_is_killed_and_run_again(houses, golden, tmp_path):
    out = tmp_path / "out"
    what = "time.sleep(3600)"
    process = start(houses, out, code=ONCE.format(mark=str(tmp_path / "mark"), what=what))
    until = time.monotonic() + 60
    while len(list((out / "tags").glob("*.parquet"))) < 2:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "tags").glob("*.parquet")}
    code, stdout, stderr = tagged(houses, out)
    assert code == 0, stderr
    assert table(out) == golden
    assert all((out / "tags" / name).stat().st_mtime_ns == time for name, time in kept.items())
    # What the dead driver's workers still published is not computed again either.
    assert json.loads(stdout)["parts"] <= SPLITS - len(kept)


def test_what_of_ray_is_relied_on():
    """A new Ray that moves these is noticed here."""
    from ray import exceptions
    from ray._private import ray_constants, worker
    from ray._private.node import Node
    from ray._private.state import state

    assert issubclass(exceptions.ActorDiedError, exceptions.RayActorError)
    assert issubclass(exceptions.ActorUnavailableError, exceptions.RayActorError)
    assert not issubclass(exceptions.RayTaskError, exceptions.RayActorError)
    # What the memory monitor kills is told as a dead actor, not as this, which is for tasks.
    assert not issubclass(exceptions.OutOfMemoryError, exceptions.RayTaskError)
    assert isinstance(exceptions.RayActorError.preempted, property)
    assert isinstance(exceptions.RayActorError.actor_init_failed, property)
    assert issubclass(exceptions.GetTimeoutError, exceptions.RayError)
    assert callable(state.get_draining_nodes)
    # The processes of a local Ray, to see which has ended.
    assert "_global_node" in vars(worker)
    assert callable(Node.dead_processes)
    assert (ray_constants.PROCESS_TYPE_GCS_SERVER, ray_constants.PROCESS_TYPE_RAYLET) == ("gcs_server", "raylet")
