"""textmill compress RECIPE"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer


def compress(
    recipe: Annotated[Path, typer.Argument(help="TOML recipe, for example conf/compress/en.toml.")],
    data_dir: Annotated[Path, typer.Option(help="Folder that holds en/ and corpora/.")],
    work: Annotated[Path, typer.Option(help="Folder for checkpoints and results of the steps.")] = Path(".cache/factory"),
    cache: Annotated[Path, typer.Option(help="Folder for the fetched packages.")] = Path(".cache/wheels"),
    zoo: Annotated[Path, typer.Option(help="Folder to export the models to.")] = Path("models/zoo"),
    only: Annotated[str | None, typer.Option(help="Run this step alone, even if it is done.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Run from this step on, it even if it is done.")] = None,
    steps: Annotated[bool, typer.Option("--steps", help="List the steps and what is done, then stop.")] = False,
) -> None:
    """Make models: teacher, distil, prune, quantize, evaluate, export. Killed, the same command goes on."""
    from models.factory.recipe import load_recipe
    from models.factory.steps import names, run
    from models.factory.workshop import Workshop

    def say(line: str) -> None:
        print(time.strftime("%H:%M:%S"), line, flush=True)

    shop = Workshop(load_recipe(recipe), data_dir, work / recipe.stem, cache, zoo, say)
    if steps:
        for name in names(shop.recipe):
            print(f"{name:20} {'done' if shop.done(name) else 'not done'}")
        return
    run(shop, only, start)
