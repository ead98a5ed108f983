"""textmill status OUTPUT."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def status(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Output folder of textmill tag, or its URL.")],
    config: Annotated[Path | None, typer.Option(help="TOML file. Its table store says how HDFS is reached.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="Set one key of that table. May be repeated.")
    ] = None,
) -> None:
    """Show how far the current run is, or how the last one ended.

    It reads the output only, so it works on every machine that sees the output.
    """
    from rich.console import Console

    from jobs.colours import plain
    from pipeline.config import load_store
    from pipeline.errors import ConfigError
    from pipeline.observe.heartbeat import status_of
    from pipeline.observe.progress import duration
    from pipeline.observe.warnings import in_words
    from pipeline.store.open import open_store

    found = status_of(open_store(output, load_store(config, sets or ())))
    if not found.plans:
        raise ConfigError(f"{output}: no plans in it; is it the output folder of `textmill tag`?")
    say = Console(highlight=False, soft_wrap=True).print
    plans = f"{found.plans} plans, {found.open_plans} of them not finished"
    say(plain(f"parts: {found.parts:,} of {found.planned:,} ({plans})"))
    live = found.live
    if live is not None:
        where = f"{live['run']}, process {live['process']} on {live['host']}"
        if found.stale:
            say(plain(f"last sign of run {where}: {live['time']}; if it was killed, the next run goes on where it was"))
        else:
            left = live["seconds_left"]
            say(plain(f"run {where}: {live['done']:.0%}" + ("" if left is None else f", about {duration(left)} left")))
            say(plain(f"{live['documents']:,} documents, {live['documents_s']:,.0f}/s, {live['tokens_s']:,.0f} tokens/s"))
            if "workers" in live:
                speeds = f"{live['slowest']:,} to {live['fastest']:,} tokens/s each"
                say(plain(f"{live['workers']} workers ({speeds}), {live['starting']} starting; {live['leases']} leases"))
            if live.get("waits"):
                say(plain(live["waits"]))
            limit = f"{live['limits']} limits it; " if live["limits"] else ""
            say(plain(f"{limit}{live['dead_letters']:,} dead letters"))
    if found.lost:
        say(plain(f"{len(found.lost):,} files could not be read whole; the next run tags them again when they are mended:"))
        for path, why in list(found.lost.items())[:10]:
            say(plain(f"  {path}: {why}"))
    if found.last is not None:
        last = found.last
        say(plain(f"last run to end: {last['run']}, {last['status']}, {last['rows_out']:,} documents, {last['ended']}"))
        for warning in last.get("warnings", ()):
            say(plain(f"warning: {in_words(warning)}", "yellow"))
