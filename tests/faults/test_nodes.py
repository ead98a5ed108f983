"""A cluster of several Ray nodes on this machine: nodes that are lost, taken away with notice, or come later."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.faults.fleet_runs import check, tagged

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def cluster():
    """A head without workers and two nodes with one each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        made.nodes = [made.add_node(num_cpus=1) for _ in range(2)]
        yield made
    finally:
        made.shutdown()


def run_beside(cluster, houses, out, when, then, **env):
    """`textmill tag --address`; `then` happens when `when` parts are there."""
    found = {}

    def tag():
        found["done"] = tagged(houses, out, "--address", cluster.address, **env)

    thread = threading.Thread(target=tag)
    thread.start()
    until = time.monotonic() + 90
    while len(list((out / "tags").glob("*.parquet"))) < when and thread.is_alive():
        assert time.monotonic() < until
        time.sleep(0.02)
    then()
    thread.join()
    return found["done"]


def test_a_run_on_a_cluster(cluster, houses, golden, tmp_path):
    code, stdout, stderr = tagged(houses, tmp_path / "out", "--address", cluster.address)
    assert code == 0, stderr
    check(tmp_path / "out", golden, stdout)


def test_a_node_that_is_lost(cluster, houses, golden, tmp_path):
    out = tmp_path / "out"
    code, stdout, stderr = run_beside(
        cluster, houses, out, 1, lambda: cluster.remove_node(cluster.nodes[0], allow_graceful=False)
    )
    assert code == 0, stderr
    check(out, golden, stdout)


def test_a_node_that_is_to_go_gets_no_more_work(cluster, houses, golden, tmp_path):
    node = cluster.nodes[0].node_id

    def drain():
        command = [str(Path(sys.executable).with_name("ray")), "drain-node", "--address", cluster.address, "--node-id", node]
        command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot", "--deadline-remaining-seconds", "20"]
        subprocess.run(command, check=True, capture_output=True)

    code, stdout, stderr = run_beside(cluster, houses, tmp_path / "out", 1, drain)
    assert code == 0, stderr
    check(tmp_path / "out", golden, stdout)


def test_a_node_that_comes_later_takes_part(cluster, houses, golden, tmp_path):
    cluster.remove_node(cluster.nodes[1], allow_graceful=False)
    code, stdout, stderr = run_beside(cluster, houses, tmp_path / "out", 1, lambda: cluster.add_node(num_cpus=1))
    assert code == 0, stderr
    check(tmp_path / "out", golden, stdout)


def test_no_cluster_at_the_address(houses, tmp_path):
    code, _, stderr = tagged(houses, tmp_path / "out", "--address", "127.0.0.1:1")
    assert code == 2
    assert "--address 127.0.0.1:1: no Ray cluster answers there" in stderr


def test_a_full_object_store_stops_nothing(houses, golden, tmp_path):
    """Workers hear of splits and answer with counts: neither goes through the store."""
    import ray
    from ray.cluster_utils import Cluster

    memory = 80_000_000
    args = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": memory}
    made = Cluster(initialize_head=True, head_node_args=args)
    try:
        ray.init(address=made.address, log_to_driver=False)
        full = [ray.put(bytes(memory // 10)) for _ in range(9)]
        code, stdout, stderr = tagged(houses, tmp_path / "out", "--address", made.address)
        assert len(full) == 9
    finally:
        ray.shutdown()
        made.shutdown()
    assert code == 0, stderr
    check(tmp_path / "out", golden, stdout)
