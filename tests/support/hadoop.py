"""A real HDFS for the tests: an endpoint that is named, or one started here on loopback; else they skip and say why."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.store.settings import StoreConfig
from tests.support.leaks import kept

ENDPOINT, FOLDER = "TEXTMILL_TEST_HDFS", "TEXTMILL_HADOOP"
SCRIPT = Path(os.environ.get(FOLDER) or Path(__file__).parent.parent.parent.parent / "shared" / "hadoop") / "hdfs.py"
NODES = "TEXTMILL_TEST_WEBHDFS"


def why_not():
    """Why no HDFS can be started here, or None."""
    if not SCRIPT.is_file():
        return f"no HDFS: {ENDPOINT} is not set, and there is no {SCRIPT}"
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        return "no HDFS: no Java to start one"
    return None


class Hadoop:
    """One HDFS; processes can be stopped, paused and killed."""

    def __init__(self, root, *options):
        self.root = root
        done = subprocess.run([sys.executable, SCRIPT, "start", root, *options], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"HDFS did not start: {done.stderr or done.stdout}")
        found = json.loads(done.stdout)
        self.url, self.nodes, self.conf, self.user = found["hdfs"], found["webhdfs"].split(";"), found["conf"], found["user"]

    def __call__(self, verb, *arguments):
        """A verb of the script: pause, resume, kill, restart NODE; admin ARGS..."""
        command = [sys.executable, SCRIPT, verb, self.root, *arguments]
        with kept("session"):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr or done.stdout
        return done.stdout

    def config(self, **more):
        return StoreConfig(user=self.user, namenodes=tuple(self.nodes), hadoop_conf=self.conf, **more)

    def stop(self):
        subprocess.run([sys.executable, SCRIPT, "stop", self.root], check=True, capture_output=True)
        shutil.rmtree(self.root, ignore_errors=True)


class Given:
    """An HDFS that was named: only what every user may do."""

    def __init__(self, url):
        self.url, self.user = url, os.environ.get("HADOOP_USER_NAME")
        self.nodes = [one for one in os.environ.get(NODES, "").split(";") if one]

    def config(self, **more):
        return StoreConfig(user=self.user, namenodes=tuple(self.nodes), **more)
