"""textmill config."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.summaries import AsJson

if TYPE_CHECKING:
    from jobs.origins import Traced


def config(
    file: Annotated[Path | None, typer.Option("--config", help="TOML file of settings, or with --nightly of a job.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one key, also table.key. May be repeated.")
    ] = None,
    nightly: Annotated[bool, typer.Option("--nightly", help="The file is a job of textmill nightly.")] = False,
    changed: Annotated[bool, typer.Option("--changed", help="Show only what differs from the default.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every setting as a run would have it, and where it came from.

    That is the default, the file with the line, --set, or a variable of the environment. A terminal gets a table, programs get
    JSON. Passwords and tokens are masked. Mistakes in the file are told as textmill tag or nightly tells them, with exit code 2.
    """
    found = _traced(file, sets or (), nightly)
    shown = [one for one in found if one.changed or not changed]
    if as_json or not sys.stdout.isatty():
        print(json.dumps({one.setting.key: _as_json(one, file) for one in shown}, indent=1, ensure_ascii=False, default=str))
    else:
        _print_table(shown, file)


def _traced(file: Path | None, sets: Sequence[str], nightly: bool) -> list[Traced]:
    from jobs.origins import trace
    from pipeline.config import given_settings, load_config
    from pipeline.errors import ConfigError
    from pipeline.nightly.config import load_night

    if nightly:
        if file is None:
            raise ConfigError("--nightly needs the file of a job: --config FILE")
        if sets:
            raise ConfigError("textmill nightly takes no --set: write the setting into the file")
        night = load_night(file)
        return trace(night, file.read_text(encoding="utf-8"))
    given = given_settings(file, sets)
    # textmill tag takes these two as arguments as well, so a file need not have them.
    absent = {key: value for key, value in {"sources": ("-",), "output": "-"}.items() if key not in given}
    settings = load_config(file, sets, absent)
    return trace(settings, file.read_text(encoding="utf-8") if file is not None else "", sets, absent)


def _as_json(one: Traced, file: Path | None) -> dict[str, Any]:
    """A setting as JSON: file, line and variable only where they apply."""
    from jobs.masking import masked

    where = {"file": str(file), "line": one.line} if one.line is not None else {}
    variable = {"variable": one.variable} if one.variable is not None else {}
    return {"value": masked(one.value), "from": one.origin, **where, **variable}


def _print_table(shown: Sequence[Traced], file: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from jobs.colours import plain
    from jobs.masking import masked
    from jobs.settings import toml

    table = Table()
    table.add_column("setting", overflow="fold")
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold")
    for one in shown:
        style = "bold" if one.changed else "dim"
        value = "" if one.value is None else toml(masked(one.value))
        table.add_row(plain(one.setting.key, style), plain(value, style), plain(_where(one, file), style))
    Console().print(table if shown else "every setting has its default")


def _where(one: Traced, file: Path | None) -> str:
    line = f"{file}:{one.line}" if one.line is not None else ""
    if one.origin == "file":
        return line or str(file)
    if one.origin == "environment":
        return f"environment: {one.variable}"
    return f"{one.origin}, {line}" if line else one.origin
