"""textmill serve ANSWERS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.options import with_settings
from pipeline.ask.service.settings import ServeConfig


@with_settings(ServeConfig)
def serve(
    answers: Annotated[Path, typer.Argument(metavar="ANSWERS", help="Folder of an index, see textmill index.")],
    address: Annotated[
        str | None, typer.Option(help="Ray cluster that the replicas run on, or auto; without it the service runs here.")
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="Replicas on that cluster.")] = 1,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the service is ready; it stays on the cluster.")] = False,
    **settings: Any,
) -> None:
    """Answer questions over HTTP, with a page to ask them on, until it is stopped.

    POST /v1/ask answers a question; /docs describes the rest. A new generation of the index is used as soon as it is there.
    Questions have a class (high, normal, low) and a deadline; those that could not be answered in time are refused with 429 and
    Retry-After. Prometheus finds /metrics, a load balancer /healthz and /readyz.
    """
    import logging

    from jobs.streams import note
    from pipeline.errors import ConfigError
    from pipeline.signals import handling_signals

    config = ServeConfig(**{key: value for key, value in settings.items() if value is not None})
    logging.getLogger("textmill.ask").setLevel(logging.INFO)
    logging.basicConfig(format="%(message)s")
    if config.tokens is None and config.host not in ("127.0.0.1", "::1", "localhost"):
        note("everybody who reaches this address may ask; --tokens FILE lets only some in")
    if address is None and (detach or replicas > 1):
        raise ConfigError("--replicas and --detach need a cluster: --address ADDRESS")
    with handling_signals() as stop:
        if address is None:
            from pipeline.ask.service.server import serve_here

            serve_here(answers, config, stop, note)
        else:
            from pipeline.ask.service.ray_serve import serve_on_ray

            serve_on_ray(answers.absolute(), config, address, replicas, None if detach else stop, note)
    note("stopped" if not detach else "the service goes on without this command")
