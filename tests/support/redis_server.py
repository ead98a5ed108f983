"""A real redis-server for tests: on a free port of its own, in a folder of its own, ended by its process."""

import shutil
import signal
import socket
import subprocess
import time

import pytest

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed (apt: redis-server)")
START_S = 20.0


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class RedisServer:
    """`options` are those of redis.conf. `tls`: certificate, key and authority; then it speaks nothing else."""

    def __init__(self, folder, *options, tls=None, password=None):
        self.port = free_port()
        self.tls, self.password = tls, password
        self.url = f"{'rediss' if tls else 'redis'}://localhost:{self.port}/0"
        command = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
        if tls:
            cert, key, authority = map(str, tls)
            command += ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file", cert, "--tls-key-file", key]
            command += ["--tls-ca-cert-file", authority, "--tls-auth-clients", "no"]
        else:
            command += ["--port", str(self.port)]
        command += ["--requirepass", password] if password else []
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._wait()

    def client(self):
        import redis

        more = {"ssl_ca_certs": str(self.tls[2])} if self.tls else {}
        return redis.Redis.from_url(self.url, password=self.password, **more)

    def _wait(self):
        import redis

        ends = time.monotonic() + START_S
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.ConnectionError:
                assert self.process.poll() is None, self.process.stdout.read().decode()
                assert time.monotonic() < ends, "redis-server does not answer"
                time.sleep(0.02)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.process.kill()  # also one that is stopped
        self.process.wait()
        self.process.stdout.close()
