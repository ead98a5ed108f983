"""textmill serve ANSWERS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.options import with_settings
from pipeline.ask.service.settings import ServeConfig


@with_settings(ServeConfig)
def serve(
    answers: Annotated[str, typer.Argument(metavar="ANSWERS", help="Folder of an index, or its URL, see textmill index.")],
    address: Annotated[
        str | None, typer.Option(help="Ray cluster that the replicas run on, or auto; without it the service runs here.")
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="Replicas on that cluster.")] = 1,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the service is ready; it stays on the cluster.")] = False,
    config: Annotated[Path | None, typer.Option(help="TOML file. Its table store says how HDFS is reached.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="Set one key of that table. May be repeated.")
    ] = None,
    **settings: Any,
) -> None:
    """Answer questions over HTTP, with a page to ask them on, until it is stopped.

    POST /v1/ask answers a question; /docs describes the rest. A new generation of the index is used as soon as it is there.
    Questions have a class (high, normal, low) and a deadline; those that could not be answered in time are refused with 429 and
    Retry-After. Prometheus finds /metrics, a load balancer /healthz and /readyz.
    """
    import logging

    from jobs.streams import note
    from pipeline.config import load_store
    from pipeline.errors import ConfigError
    from pipeline.signals import handling_signals
    from pipeline.store.open import open_store

    chosen, reach = ServeConfig.given(settings), load_store(config, sets or ())
    logging.getLogger("textmill.ask").setLevel(logging.INFO)
    logging.basicConfig(format="%(message)s")
    if chosen.tokens is None and chosen.host not in ("127.0.0.1", "::1", "localhost"):
        note("everybody who reaches this address may ask; --tokens FILE lets only some in")
    if address is None and (detach or replicas > 1):
        raise ConfigError("--replicas and --detach need a cluster: --address ADDRESS")
    with handling_signals() as stop:
        if address is None:
            from pipeline.ask.service.server import serve_here

            serve_here(open_store(answers, reach), chosen, stop, note, reach)
        else:
            from pipeline.ask.service.ray_serve import serve_on_ray

            url = open_store(answers, reach).url
            serve_on_ray(url, reach, chosen, address, replicas, None if detach else stop, note)
    note("stopped" if not detach else "the service goes on without this command")
