"""The service on a real Ray, under load: a replica and the command that began it are killed. No answer is wrong, only requests at
the killed replica fail, and it is back within 10 s.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.faults.fleet_runs import below
from tests.support import ROOT
from tests.support.asking import QUESTIONS, ask, make_index
from tests.support.redis_server import free_port

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]
READY_S, BACK_S, ASKERS = 120, 10.0, 4


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "include_dashboard": False})
    try:
        yield made
    finally:
        made.shutdown()


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return make_index(tmp_path_factory.mktemp("world"))


def start(cluster, answers, port, log):
    command = [sys.executable, "-m", "jobs", "serve", str(answers), "--address", cluster.address, "--replicas", "2"]
    more = ["--port", str(port), "--threads", "1", "--cache-mb", "0"]
    with log.open("w") as out:
        process = subprocess.Popen([*command, *more], cwd=ROOT, stdout=out, stderr=out, start_new_session=True)
    until = time.monotonic() + READY_S
    while "answering at" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)
    return process


def replicas(cluster):
    raylet = cluster.head_node.all_processes["raylet"][0].process.pid
    return [pid for pid, name in below(raylet).items() if name.startswith("ray::ServeReplica")]


class Load:
    """Askers without a pause; what each question came to: when, its status (0 of a broken connection), whether it is right."""

    def __init__(self, port):
        self.port, self.over, self.got = port, threading.Event(), []
        self.threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(ASKERS)]

    def _ask(self, number):
        asked = list(QUESTIONS.items())
        while not self.over.is_set():
            question, answer = asked[number % len(asked)]
            number += 1
            try:
                status, _, body = ask(self.port, question)
            except (OSError, http.client.HTTPException):
                status, body = 0, b""
            right = status != 200 or json.loads(body)["answer"]["answer"] == answer
            self.got.append((time.monotonic(), status, right))
            if status != 200:
                time.sleep(0.05)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_killed_replicas_and_a_killed_command(cluster, answers, tmp_path):
    port = free_port()
    process = start(cluster, answers, port, tmp_path / "log")
    try:
        with Load(port) as load:
            time.sleep(2.0)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            killed = time.monotonic()
            time.sleep(5.0)
            assert all(status == 200 for at, status, _ in load.got), "the command's end is felt"
            before = replicas(cluster)
            assert len(before) == 2
            os.kill(before[0], signal.SIGKILL)
            killed = time.monotonic()
            until = killed + 60
            while len(set(replicas(cluster)) - set(before)) < 1:
                assert time.monotonic() < until, "no replica takes its place"
                time.sleep(0.2)
            time.sleep(5.0)
        wrong = [one for one in load.got if not one[2]]
        failed = [(at - killed, status) for at, status, _ in load.got if status != 200]
        assert not wrong
        assert len([at for at, _, _ in load.got if at > killed]) > 20
        # What was on its way at that replica, and what was sent to it until the proxy knew.
        assert {status for _, status in failed} <= {0, 500, 502, 503, 504}
        assert all(after < BACK_S for after, _ in failed), failed
        print(f"failed {len(failed)} of {len(load.got)}, the last {max((after for after, _ in failed), default=0):.2f} s after")
        again = start(cluster, answers, port, tmp_path / "log")
        again.send_signal(signal.SIGTERM)
        assert again.wait(60) == 0
        until = time.monotonic() + 30
        while replicas(cluster):
            assert time.monotonic() < until, "the service goes on"
            time.sleep(0.2)
    finally:
        process.kill()
        process.wait()
