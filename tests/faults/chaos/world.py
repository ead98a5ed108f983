"""The world of a seed: Ray nodes in network namespaces, Redis, an HDFS, a small disk. What a seed leaves well serves the next."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from pipeline.store.open import open_store
from pipeline.store.settings import StoreConfig
from tests.faults.chaos import processes
from tests.faults.chaos.nets import Nets, run
from tests.faults.chaos.processes import MARK
from tests.support import ROOT, hadoop
from tests.support.leaks import kept
from tests.support.redis_server import RedisServer, free_port

SITE = Path(__file__).parent / "site"
NODES = 2
RAY_KINDS = {"worker", "server", "gcs", "raylet", "agent", "environment", "ray"}
# A node that is cut off is given up after about 8 s.
RAY_ENV = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_health_check_initial_delay_ms": "3000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1500",
    "RAY_health_check_failure_threshold": "4",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
STORE = {"timeout_s": 3.0, "retry_s": 6.0, "lease_s": 6.0}
DISK_BYTES = 16 << 20


class World:
    """A context. `folder` holds everything; `ready` makes what a schedule needs, and what is broken well again."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tmc-", dir="/tmp"))
        self.mark = self.folder.name
        self.site = SITE
        self.faults, self.marks, self.disk = (self.folder / name for name in ("faults", "marks", "disk"))
        self.redis: RedisServer | None = None
        self.hdfs: hadoop.Hadoop | None = None
        self.address: str | None = None
        self._nodes = 0

    def __enter__(self) -> World:
        self.disk.mkdir()
        self.marks.mkdir()
        self.faults.write_text("")
        self.has_disk = os.geteuid() == 0 and run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", self.disk)
        mine = {
            **RAY_ENV, MARK: self.mark, "RAY_TMPDIR": str(self.folder), "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join([str(self.site), str(ROOT)]),
            "TEXTMILL_FAULT": f"@{self.faults}", "TEXTMILL_FAULT_MARK": str(self.marks),
        }  # fmt: skip
        self._before = {key: os.environ.get(key) for key in mine}
        os.environ.update(mine)
        self._nets = Nets()
        return self

    def __exit__(self, *raised: object) -> None:
        if self.redis is not None:
            self.redis.close()
        processes.end(self.mark)
        self._nets.close()
        if self.has_disk:
            run("umount", "-l", self.disk)
        for key, value in self._before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def has_nets(self) -> bool:
        """Whether nodes are in network namespaces of their own."""
        return self._nets.made

    def ready(self, crew: str, place: str) -> None:
        """Start what is needed and not there; kill and start again what does not do well."""
        with kept("module"):
            self._ready_redis()
            if place.startswith("hdfs"):
                self._ready_hdfs()
            if crew == "cluster":
                self._ready_ray()

    def _ready_redis(self) -> None:
        if self.redis is not None and self.redis.process.poll() is not None:
            self.redis.close()
            self.redis = None
        if self.redis is None:
            folder = self.folder / "redis"
            folder.mkdir(exist_ok=True)
            self.redis = RedisServer(folder, "--bind", "127.0.0.1", *self._nets.heads, "--protected-mode", "no")

    def forget(self) -> None:
        """Let Redis forget what earlier seeds told it."""
        assert self.redis is not None
        with self.redis.client() as client:
            client.flushall()

    @property
    def redis_url(self) -> str:
        """As nodes in their namespaces reach it."""
        assert self.redis is not None
        return f"redis://{self._nets.head}:{self.redis.port}/0"

    def _ready_hdfs(self) -> None:
        if self.hdfs is None:
            self.hdfs = hadoop.Hadoop(self.folder / "hdfs")
        state = json.loads((self.folder / "hdfs" / "state.json").read_text())
        for node, pid in state["pids"].items():
            if not any(one.pid == pid for one in processes.living(self.mark)):
                self.hdfs("restart", node)

    def store_config(self, place: str) -> StoreConfig:
        """How the files of a place are reached."""
        return StoreConfig(**STORE) if not place.startswith("hdfs") or self.hdfs is None else self.hdfs.config(**STORE)

    def open(self, url: str, **more: float):
        """A store of this world, for the one who looks: what does not answer is not waited for."""
        config = StoreConfig(**{**STORE, "retry_s": 0.5, **more})
        if "://" in url and self.hdfs is not None:
            config = self.hdfs.config(**{**STORE, "retry_s": 0.5, **more})
        return open_store(url, config)

    def _ready_ray(self) -> None:
        kinds = [one.kind for one in processes.living(self.mark)]
        well = all(kinds.count(kind) == NODES + 1 for kind in ("raylet", "agent", "environment")) and "gcs" in kinds
        if self.address is not None and well and self._nodes == NODES:
            return
        self.stop_ray()
        self._nets.join(range(NODES))
        self.address = f"{self._nets.head}:{free_port()}"
        head = ["--head", f"--port={self.address.rpartition(':')[2]}", "--num-cpus=0", "--include-dashboard=false"]
        head += [f"--ray-client-server-port={free_port()}", f"--temp-dir={self.folder / 'r'}"]
        self._finish(self._start_node(None, *head))
        for node in range(NODES):  # not at once: they would choose the same names for their sockets
            self._finish(self._start_node(node, f"--address={self.address}", "--num-cpus=1"))
        self._nodes = NODES

    def _start_node(self, number: int | None, *more: str) -> subprocess.Popen[str]:
        prefix, ip = self._nets.prefix(number)
        command = [*prefix, str(Path(sys.executable).with_name("ray")), "start", *more, f"--node-ip-address={ip}"]
        command += ["--disable-usage-stats", f"--object-store-memory={100 << 20}", f"--dashboard-agent-listen-port={free_port()}"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder)

    def _finish(self, starting: subprocess.Popen[str]) -> None:
        said, _ = starting.communicate(timeout=60)
        assert starting.returncode == 0, said

    def break_ray(self) -> None:
        """Something has happened to its nodes: it is not used again."""
        self._nodes = 0

    def stop_ray(self) -> None:
        """End every process of the cluster."""
        processes.end(self.mark, RAY_KINDS)
        shutil.rmtree(self.folder / "r", ignore_errors=True)
        self.address, self._nodes = None, 0

    def cut_off(self, node: int, off: bool) -> None:
        """Take a node's network away, or give it back."""
        self._nets.cut(node, off)

    def fill_disk(self) -> None:
        """Leave no space on the small disk."""
        with suppress(OSError), (self.disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1 << 12))

    def free_disk(self) -> None:
        """What an operator does."""
        (self.disk / "filler").unlink(missing_ok=True)
