"""Runs whose workers are gone, on a real Ray: a local one that dies, and clusters without a node that can do the work. A run says
what it waits for, ends after a bounded time with a code and a reason, and goes on if it can.
"""

import os
import signal
import time

import pytest

from tests.faults.fleet_runs import HELD, below, check, heard, part_of_ray, start, table, tagged
from tests.support import ROOT

pytestmark = pytest.mark.timeout(240)

# Stands in the processes of a node that lacks a package.
LACKING = """
import sys
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Lacking())
"""


@pytest.fixture
def held(houses, tmp_path):
    """A run in the middle of its work, with a Ray of its own, whose workers wait; and the file that holds them."""
    hold = tmp_path / "hold"
    hold.touch()
    process = start(houses, tmp_path / "out", code=HELD.format(mark=str(tmp_path / "mark"), hold=str(hold)))
    try:
        until = time.monotonic() + 90
        while len(list((tmp_path / "out" / "tags").glob("*.parquet"))) < 2:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield process, hold
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    "what",
    [
        "ray::DashboardAgent",
        pytest.param("ray::RuntimeEnvAgent", marks=pytest.mark.slow),
        pytest.param("raylet/raylet", marks=pytest.mark.slow),
        pytest.param("gcs/gcs_server", marks=pytest.mark.slow),
    ],
)
def test_a_local_ray_that_dies_is_started_again(what, held, golden, tmp_path):
    """Promise: whatever of its processes is killed, the run goes on with another Ray, loses nothing and blames no document."""
    process, hold = held
    os.kill(part_of_ray(process, what), signal.SIGKILL)
    said = heard(process, "it is started again, once")
    hold.unlink()
    stdout, stderr = process.communicate()
    assert process.returncode == 0, said + stderr
    assert "the local Ray died" not in stderr
    check(tmp_path / "out", golden, stdout)


@pytest.mark.slow
def test_a_local_ray_that_dies_twice_ends_the_run(held, houses, golden, tmp_path):
    process, hold = held
    first = part_of_ray(process, "raylet/raylet")
    os.kill(first, signal.SIGKILL)
    heard(process, "it is started again, once")
    until = time.monotonic() + 60
    while (second := part_of_ray(process, "raylet/raylet")) == first or "ray::WorkerActor" not in str(below(process.pid)):
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(second, signal.SIGKILL)
    _, stderr = process.communicate()
    assert process.returncode == 3, stderr
    assert "the local Ray died again after it was started anew: its raylet ended (SIGKILL)" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    hold.unlink()
    code, _, stderr = tagged(houses, tmp_path / "out", "--workers", "1")
    assert code == 0, stderr
    assert table(tmp_path / "out") == golden


@pytest.fixture
def cluster():
    """A head without CPUs, and one node with two."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        made.node = made.add_node(num_cpus=2)
        yield made
    finally:
        made.shutdown()


def on(cluster, limit_s=600):
    return ["--address", cluster.address, "--workers", "2", "--no-workers-s", str(limit_s)]


@pytest.mark.parametrize("comes_back", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_cluster_whose_nodes_are_gone(comes_back, cluster, houses, golden, tmp_path):
    cluster.remove_node(cluster.node, allow_graceful=False)
    process = start(houses, tmp_path / "out", *on(cluster, 600 if comes_back else 30))
    # The cluster takes some seconds to see that the node is gone.
    said = heard(process, "2 wanted, each needs 1 CPU; Ray: 1 node alive, none with 1 CPU")
    assert "waits for a worker: none has been alive for " in said
    if comes_back:
        cluster.add_node(num_cpus=2)
    stdout, stderr = process.communicate()
    if comes_back:
        assert process.returncode == 0, stderr
        assert "a worker is alive, the run goes on" in stderr
        check(tmp_path / "out", golden, stdout)
    else:
        assert process.returncode == 3, stderr
        assert "no worker has been alive for " in stderr.splitlines()[-1]
        assert "Traceback" not in stderr


def test_a_cluster_whose_cpus_others_hold(cluster, houses, golden, tmp_path):
    import ray

    ray.init(address=cluster.address, log_to_driver=False)
    try:
        other = ray.remote(num_cpus=2)(Other).remote()
        ray.get(other.there.remote())
        process = start(houses, tmp_path / "out", *on(cluster))
        said = heard(process, "waits for a worker: none has been alive for ")
        assert "2 wanted, each needs 1 CPU; Ray: 2 nodes alive with 0 of 2 CPUs free" in said
        ray.kill(other)
        stdout, stderr = process.communicate()
        assert process.returncode == 0, stderr
        check(tmp_path / "out", golden, stdout)
    finally:
        ray.shutdown()


class Other:
    """Somebody else's actor."""

    def there(self):
        return True


@pytest.mark.slow
def test_a_head_that_is_lost_ends_the_run_and_the_next_goes_on(cluster, houses, golden, tmp_path):
    """Promise: the run waits for its head for most of the minute that Ray would wait; then it ends with words, with no abort."""
    out, hold, site = tmp_path / "out", tmp_path / "hold", tmp_path / "held"
    hold.touch()
    site.mkdir()
    (site / "sitecustomize.py").write_text(HELD.format(mark=str(tmp_path / "mark"), hold=str(hold)))
    cluster.remove_node(cluster.node, allow_graceful=True)
    cluster.add_node(num_cpus=2, env_vars={"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])})
    process = start(houses, out, *on(cluster), RAY_gcs_rpc_server_reconnect_timeout_s="20")
    until = time.monotonic() + 90
    while len(list((out / "tags").glob("*.parquet"))) < 2:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    cluster.head_node.kill_gcs_server()
    _, stderr = process.communicate()
    assert process.returncode == 3, stderr
    assert "the head of the Ray cluster has not answered for " in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    hold.unlink()
    code, _, stderr = tagged(houses, out, "--workers", "1")
    assert code == 0, stderr
    assert table(out) == golden


@pytest.mark.slow
@pytest.mark.parametrize("name", ["openvino", "pipeline"])
def test_a_node_that_lacks_a_package(name, cluster, houses, tmp_path):
    """Promise: it is told as wrong settings, with the package and the node; not as a death, and with no traceback."""
    site = tmp_path / "lacking"
    site.mkdir()
    (site / "sitecustomize.py").write_text(LACKING.format(name=name))
    cluster.remove_node(cluster.node, allow_graceful=False)
    cluster.add_node(num_cpus=2, env_vars={"PYTHONPATH": str(site)})
    code, _, stderr = tagged(houses, tmp_path / "out", *on(cluster))
    assert code == 2, stderr
    assert f"cannot start: ModuleNotFoundError: No module named '{name}'" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
