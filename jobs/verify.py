"""textmill verify OUTPUT."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from jobs.summaries import AsJson, show, verified

EVERY_S = 5.0


def verify(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Output folder of textmill tag, or its URL.")],
    config: Annotated[Path | None, typer.Option(help="TOML file. Its table store says how HDFS is reached.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="Set one key of that table. May be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count the input again and compare it with the output, file by file.

    Every part is compared with three things: its own record, its dead letters and filtered documents, and its digest in the run's
    manifest. A file that has gone or changed since it was tagged cannot be counted again; files_gone is the number of such files.
    The command writes nothing. Exit codes: 0 everything agrees, 3 planned parts are missing (run textmill tag again), 4 something
    is lost or changed; each difference is named.
    """
    from jobs.streams import note
    from pipeline.config import load_store
    from pipeline.run.verify import verify as compare
    from pipeline.signals import handling_signals

    told = time.monotonic()

    def seen(done: int, files: int) -> None:
        nonlocal told
        if time.monotonic() - told >= EVERY_S:
            told = time.monotonic()
            note(f"{done:,} of {files:,} files counted again")

    with handling_signals() as stop:
        found = compare(output, load_store(config, sets or ()), seen, stop.check)
    show({"status": found.status, **asdict(found)}, verified(found), as_json)
    for text in found.differences:
        typer.echo(f"textmill: {text}", err=True)
    if found.differences:
        raise typer.Exit(4)
    if found.parts_missing:
        typer.echo(f"textmill: {found.parts_missing:,} planned parts are not there yet; run textmill tag again", err=True)
        raise typer.Exit(3)
