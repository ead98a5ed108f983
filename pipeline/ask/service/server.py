"""The service in this process, without Ray."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from typing_extensions import override

from pipeline.ask.service.replica import Replica
from pipeline.ask.service.settings import ServeConfig
from pipeline.errors import ConfigError
from pipeline.signals import StopToken
from pipeline.store.base import Store
from pipeline.store.settings import StoreConfig

# Connections at a time; more are answered with 503. Seconds that an idle one is kept, and that requests have after a stop.
CONNECTIONS, IDLE_S, GRACE_S = 2000, 30, 10
LOOK_S = 0.1


class _Server(uvicorn.Server):
    """Leaves signals to the command."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve_here(
    answers: Store | Path,
    config: ServeConfig,
    stop: StopToken,
    say: Callable[[str], object],
    reach: StoreConfig | None = None,
) -> None:
    """Answer questions over HTTP until a stop is asked; then those that have begun are answered.

    Args:
        answers: The index: a store, or a folder of this machine.
        config: Settings of the service.
        stop: Says when to stop.
        say: Hears where it listens.
        reach: How an output elsewhere is reached, whose tags are counted; by default as the index is.

    Raises:
        ConfigError: There is no index, a file of the settings is wrong, or the port is taken.
        OutputError: The index is not as it should be.
        ModelError: There is no such reader, or its files are damaged.
    """
    config.check()
    with _listening(config.host, config.port) as listening:
        replica = Replica(answers, config, reach=reach)
        try:
            asyncio.run(_serve(replica, config, listening, stop, say))
        finally:
            replica.close()


def _listening(host: str, port: int) -> socket.socket:
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024)
        # Connections inherit it. Without it an answer's body waits 40 ms for the asker to confirm its head.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise ConfigError(f"--host {host} --port {port}: cannot be listened on ({error.strerror or error})") from error


async def _serve(
    replica: Replica, config: ServeConfig, listening: socket.socket, stop: StopToken, say: Callable[[str], object]
) -> None:
    server = _Server(
        uvicorn.Config(
            replica.app(),
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=GRACE_S,
            ssl_certfile=config.tls_cert,
            ssl_keyfile=config.tls_key,
        )
    )
    work = asyncio.create_task(server.serve([listening]))
    scheme, (host, port, *_) = "https" if config.tls_cert is not None else "http", listening.getsockname()
    while not work.done():
        if server.started:
            say(f"answering at {scheme}://{f'[{host}]' if ':' in host else host}:{port}/")
            break
        await asyncio.sleep(LOOK_S)
    while not work.done():
        server.should_exit = server.should_exit or stop.asked
        await asyncio.wait([work], timeout=LOOK_S)
    await work
