"""Figures of a night for a Prometheus Pushgateway. Whether it is up is nothing to the night."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pipeline.nightly.record import Night

TIMEOUT_S = 5.0


def push_metrics(url: str, job: str, night: Night, say: Callable[[str], object]) -> None:
    """Tell a Pushgateway of a night; raises nothing.

    Args:
        url: Of the gateway.
        job: Name of the job.
        night: The night.
        say: Hears why, if it cannot be told.
    """
    try:
        from prometheus_client import CollectorRegistry, Gauge, push_to_gateway

        registry = CollectorRegistry()
        seconds = (datetime.fromisoformat(night.ended) - datetime.fromisoformat(night.started)).total_seconds()
        figures = {
            "exit_code": ("Exit code of the latest night", night.exit_code),
            "seconds": ("Seconds that the latest night took", seconds),
            "ended_seconds": ("When the latest night ended, since 1970", datetime.fromisoformat(night.ended).timestamp()),
            "documents": ("Documents that the latest night has tagged", night.tag.get("rows_out", 0)),
            "dead_letters": ("Documents that the latest night could not tag", night.tag.get("dead_letters", 0)),
            "revisions": ("Reports that the latest night has published", len(night.made)),
        }
        for name, (text, value) in figures.items():
            Gauge(f"textmill_night_{name}", text, registry=registry).set(value)
        push_to_gateway(url, job=job, registry=registry, timeout=TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 - no fault of a gateway, or of its client, may touch the night
        say(f"the metrics gateway was not told: {type(error).__name__}: {error}")
