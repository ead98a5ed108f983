"""A run's manifest: what it was, which parts it made, and what came of it: `_runs/RUN.json`; times in `RUN.metrics.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pipeline.contract import PartResult
from pipeline.errors import StoreError
from pipeline.sink.files import write_whole
from pipeline.sink.layout import METRICS, RUNS, manifest_path, metrics_path
from pipeline.store.base import Store


def new_run() -> str:
    """Return a name for a run that no other run has; names sort by the time at which they were made (UTC, whole seconds)."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid4().hex[:8]}"


# So many runs are asked how fast workers were.
RECENT = 20


def write_manifest(
    store: Store,
    run: str,
    about: dict[str, Any],
    parts: list[PartResult],
    metrics: dict[str, Any],
    more: Mapping[str, dict[str, float]] | None = None,
) -> str:
    """Write the manifest of a run and, before it, the metrics beside it.

    Args:
        store: The output.
        run: Name of the run.
        about: What the run was and what came of it, ready for JSON; becomes the top level of the manifest.
        parts: Parts that the run has published; their times and cache figures are left out.
        metrics: Times and speeds, ready for JSON; `known_speed` reads some of them.
        more: What else is said of a part, by its name: its priority, and the seconds from when its split was known to when the
            part was there.

    Returns:
        Path of the manifest, below the store's root.

    Raises:
        TakenError: The run has a manifest or metrics already.
    """
    write_whole(store, metrics_path(run), json.dumps(metrics, indent=1).encode() + b"\n", "metrics")
    path = manifest_path(run)
    listed = []
    for part in parts:
        about_part = {key: value for key, value in asdict(part).items() if key not in ("seconds", "cache")}
        listed.append(about_part | (more or {}).get(part.name, {}))
    body = {"run": run, **about, "parts": sorted(listed, key=lambda part: part["name"])}
    write_whole(store, path, json.dumps(body, indent=1).encode() + b"\n", "manifest")
    return path


def last_manifest(store: Store) -> dict[str, Any] | None:
    """Read the manifest of the latest run.

    Args:
        store: The output.

    Returns:
        The manifest, or None if no run has left one.

    Raises:
        ValueError: The file is not JSON.
    """
    entries = [entry for entry in store.list(RUNS) if not entry.path.endswith(METRICS)]
    if not entries:
        return None
    with store.open_read(entries[-1].path) as stream:
        found: dict[str, Any] = json.load(stream)
    return found


def known_speed(store: Store, digest: str, threads: int | None) -> float | None:
    """Look up how fast a worker was with the same model and threads, in the latest of the RECENT newest runs that says so.

    Args:
        store: The output.
        digest: Digest of the model.
        threads: Threads of a worker; None where the engine chose.

    Returns:
        Tokens per second of one worker, or None if none of these runs tells; metrics that cannot be read are passed over.
    """
    for entry in reversed([entry for entry in store.list(RUNS) if entry.path.endswith(METRICS)][-RECENT:]):
        try:
            with store.open_read(entry.path) as stream:
                metrics = json.load(stream)
            if (metrics["model_digest"], metrics["threads"]) == (digest, threads) and metrics["worker_tokens_s"]:
                return float(metrics["worker_tokens_s"])
        except (StoreError, OSError, ValueError, KeyError, TypeError):
            continue  # a prediction is no reason to stop
    return None
