"""textmill doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def doctor(
    output: Annotated[str | None, typer.Argument(metavar="[OUTPUT]", help="Output folder or URL to check.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file. Its table store says how HDFS is reached.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="Set one key of that table. May be repeated.")
    ] = None,
) -> None:
    """Check the installation, the models and the CPU, and the file system of OUTPUT if it is given.

    Every check that fails says what to do. Exit code 2 means that one has failed.
    """
    from rich.console import Console

    from jobs.colours import plain
    from pipeline.config import load_store
    from pipeline.errors import ConfigError
    from pipeline.observe.doctor import run_checks

    console = Console()
    wrong = 0
    for check in run_checks(output, load_store(config, sets or ())):
        sign, style = {True: ("ok", "green"), False: ("wrong", "bold red"), None: ("note", "yellow")}[check.well]
        console.print(plain(f"{sign:>6}", style), plain(f"{check.name}: {check.text}"))
        wrong += check.well is False
    if wrong:
        raise ConfigError(f"{wrong} of the checks found something wrong; each says what to do")
