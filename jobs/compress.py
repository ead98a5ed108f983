"""textmill compress RECIPE."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from models.factory.recipe import Recipe


def compress(
    recipe: Annotated[Path, typer.Argument(help="TOML file of the recipe, for example conf/compress/en.toml.")],
    data_dir: Annotated[Path, typer.Option(help="Folder with the corpora: en/, zh/ and corpora/.")],
    work: Annotated[Path, typer.Option(help="Folder for checkpoints and the results of steps.")] = Path(".cache/factory"),
    cache: Annotated[Path, typer.Option(help="Folder for downloaded packages.")] = Path(".cache/wheels"),
    zoo: Annotated[Path, typer.Option(help="Folder for the finished models.")] = Path("models/zoo"),
    only: Annotated[str | None, typer.Option(help="Run only this step, even if it is done.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Run this step, even if it is done, and those after it.")] = None,
    steps: Annotated[bool, typer.Option("--steps", help="List the steps and which are done. Run none.")] = False,
) -> None:
    """Make models by a recipe: teacher, distillation, pruning, quantization, evaluation, export.

    After a stop of any kind the same command goes on.
    """
    from models.factory.embedder_making import EmbedderRun
    from models.factory.reader_recipe import ReaderRecipe
    from models.factory.reader_training import ReaderRun
    from models.factory.recipe import load_recipe
    from models.factory.run_context import RunContext
    from models.factory.runner import names, run
    from models.factory.task_recipe import load_task_recipe

    def say(line: str) -> None:
        print(time.strftime("%H:%M:%S"), line, flush=True)

    if (of_task := load_task_recipe(recipe)) is not None:
        where = (data_dir, work / recipe.stem, cache, zoo, say)
        (ReaderRun(of_task, *where) if isinstance(of_task, ReaderRecipe) else EmbedderRun(of_task, *where)).make()
        return
    shop = RunContext(load_recipe(recipe), data_dir, work / recipe.stem, cache, zoo, say)
    if steps:
        for name in names(shop.recipe):
            print(f"{name:20} {'done' if shop.done(name) else 'not done'}")
        return
    try:
        run(shop, only, start)
    finally:
        _show_reached(shop.recipe, {step: record for step in names(shop.recipe) if (record := shop.done(step))})


def _show_reached(recipe: Recipe, records: dict[str, dict[str, Any]]) -> None:
    """A table of the figures of every step that is done."""
    from rich.console import Console
    from rich.table import Table

    from models.factory.evaluate import figures_of

    shown = figures_of(recipe.lang)
    table = Table("step", *(figure.key for figure in shown), "tokens/s", title=f"reached, {recipe.lang}")
    for step, record in records.items():
        figures = record.get("figures", {})
        if figures and not step.endswith(".export"):
            cells = [f"{figures[figure.key]:.2f}" if figure.key in figures else "" for figure in shown]
            speed = record.get("tokens_s")
            table.add_row(step, *cells, f"{speed:,.0f}" if speed else "")
    console = Console()
    console.width = max(console.width, 150)
    console.print(table)
