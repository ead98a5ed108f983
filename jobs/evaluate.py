"""textmill evaluate MODEL --data-dir DATA."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    model: Annotated[str, typer.Argument(help="en, en-fast, zh, qa-en, qa-en-fast, qa-zh, embed-en, or a tagger's folder.")],
    data_dir: Annotated[Path, typer.Option(help="Folder with the labelled corpora, en/ and zh/.")],
    engine: Annotated[str, typer.Option(help="Engine that runs the model: auto, openvino or torch.")] = "auto",
) -> None:
    """Measure a model on the development splits, as in its card."""
    from rich.console import Console
    from rich.table import Table

    from models.factory.reader_card import TITLES
    from models.factory.reader_corpora import dev_questions
    from models.factory.reader_evaluate import judged, reader_figures
    from models.runtime.package import EMBEDDER, READER, installed
    from models.runtime.reader import load_reader

    if model in installed(READER):
        reader = load_reader(model, engine=engine)  # type: ignore[arg-type]
        figures = reader_figures(judged(reader, dev_questions(data_dir, reader.lang)))
        table = Table("figure", "per cent")
        for key, value in figures.items():
            table.add_row(TITLES[key], f"{value:.2f}")
        Console().print(table)
        return
    if model in installed(EMBEDDER):
        _show_embedder(model, data_dir, engine)
        return
    from models.factory.evaluate import evaluate as measure
    from models.factory.evaluate import figures_of
    from models.runtime.load import load_one

    tagger = load_one(model, engine=engine)  # type: ignore[arg-type]
    figures = measure(tagger, data_dir)
    table = Table("figure", "per cent")
    for figure in figures_of(tagger.lang):
        table.add_row(figure.title, f"{figures[figure.key]:.2f}" if figure.key in figures else "no data")
    Console().print(table)


def _show_embedder(model: str, data_dir: Path, engine: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from models.factory.embedder_evaluate import TITLES, embedded, embedder_figures
    from models.factory.retrieval_set import retrieval_set
    from models.runtime.embedder import load_embedder

    embedder = load_embedder(model, engine=engine)  # type: ignore[arg-type]
    found_in = retrieval_set(data_dir, embedder.lang)
    table = Table("figure", "per cent")
    for key, value in embedder_figures(embedded(embedder, found_in), found_in).items():
        table.add_row(TITLES[key], f"{value:.2f}")
    Console().print(table)
