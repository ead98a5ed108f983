"""The service on Ray Serve: replicas, their routing and the proxy are Ray's; what happens inside a replica is ours."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.ask.service.settings import ServeConfig
from pipeline.fleet.ray_connection import join
from pipeline.signals import StopToken
from pipeline.store.settings import StoreConfig

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from pipeline.ask.service.replica import Replica

APP, DEPLOYMENT = "textmill-ask", "answers"
# HAProxy hands requests to the replicas' own servers: without it each goes through two more processes.
FAST = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
# Requests that a replica may hold; its own queue refuses those that it cannot answer in time.
AT_ONCE = 2000
HEALTH_S, GRACE_S = 2.0, 5.0
LOOK_S, TOLD_S = 0.5, 5.0


def serve_on_ray(
    answers: str,
    reach: StoreConfig,
    config: ServeConfig,
    address: str,
    replicas: int,
    stop: StopToken | None,
    say: Callable[[str], object],
) -> None:
    """Deploy the service on a Ray cluster; it stays there when this process dies, and ends when a stop is asked.

    Args:
        answers: URL of the index, or its folder, which every node of the cluster must see under this name.
        reach: How an index on another machine is reached.
        config: Settings of the service. The file of tokens must be on every node too.
        address: Of the cluster, or auto.
        replicas: How many.
        stop: Says when to end the service; None returns when it is ready, and leaves it there.
        say: Hears what is done.

    Raises:
        ConfigError: No cluster answers there, or a file of the settings is wrong.
    """
    os.environ.update(FAST)  # this process, too, has to know how it is served
    import ray
    from ray import serve
    from ray.serve.config import HTTPOptions

    config.check()
    join(address, 0, FAST)
    try:
        tls = {"ssl_certfile": str(config.tls_cert), "ssl_keyfile": str(config.tls_key)} if config.tls_cert is not None else {}
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        serve.start(http_options=HTTPOptions(host=config.host, port=config.port, **tls))
        serve.run(_application(answers, reach, config, replicas), name=APP, route_prefix="/")
        say(f"answering at {'https' if tls else 'http'}://{config.host}:{config.port}/ by {replicas} replicas")
        if stop is None:
            return
        while not stop.asked:
            time.sleep(LOOK_S)
        serve.delete(APP)
    finally:
        ray.shutdown()


class _Answers:
    """What Ray Serve makes replicas of: it is asked over HTTP, and for its metrics by the other replicas."""

    def told(self) -> tuple[str, bytes]:
        """Return the name of this replica, and its metrics."""
        from ray import serve

        return serve.get_replica_context().replica_id.unique_id, _here[0].answerer.metrics.text()


# The replica of this process.
_here: list[Replica] = []


async def _all_told() -> bytes:
    from ray import serve

    from pipeline.ask.service.metrics import joined

    response = serve.get_deployment_handle(DEPLOYMENT, APP).broadcast("told")
    return joined(dict(await response.results_async(timeout_s=TOLD_S)))


def _application(answers: str, reach: StoreConfig, config: ServeConfig, replicas: int) -> object:
    from ray import serve

    threads = config.threads or 1
    config = config.model_copy(update={"threads": threads})  # a replica shares its node with others

    def build() -> Starlette:
        from pipeline.ask.service import ray_serve
        from pipeline.ask.service.replica import Replica
        from pipeline.store.open import open_store

        ray_serve._here[:] = [Replica(open_store(answers, reach), config, ray_serve._all_told, reach)]
        return ray_serve._here[0].app()

    deployment = serve.deployment(
        name=DEPLOYMENT, num_replicas=replicas, max_ongoing_requests=AT_ONCE, ray_actor_options={"num_cpus": threads},
        health_check_period_s=HEALTH_S, health_check_timeout_s=3 * HEALTH_S, graceful_shutdown_timeout_s=GRACE_S,
        graceful_shutdown_wait_loop_s=LOOK_S,
    )  # fmt: skip
    return deployment(serve.ingress(build)(_Answers)).bind()
