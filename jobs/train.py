"""textmill train DATA... FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def train(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA...", help="Labelled documents: .jsonl, .csv, .tsv or .conll files, or folders of them."),
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for the finished model. Must not exist yet.")],
    start: Annotated[str, typer.Option(help="Model that is taught on: en, en-fast, zh, or a tagger's folder.")] = "en-fast",
    test: Annotated[
        list[Path] | None, typer.Option(help="Documents to measure on. Default: a share of DATA. May be repeated.")
    ] = None,
    held_out: Annotated[float, typer.Option(min=0.05, max=0.9, help="Share of DATA that is measured on.")] = 0.2,
    text_column: Annotated[str, typer.Option(help="Field or column of the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="Field or column of the class of the text.")] = "label",
    entities_column: Annotated[str, typer.Option(help="Field of the list of entities: start, end, label of each.")] = "entities",
    epochs: Annotated[
        float | None, typer.Option(min=0.1, help="How often each document is read. Default: by their number.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split and of the training.")] = 1,
) -> None:
    """Train a model on your own labels: entity types, classes of texts, or both.

    A shipped model is taught on, so a few hundred documents and some minutes are enough. What the documents do not label, the
    model tags as before. The folder has the model, its card with the figures of the documents held out, and errors.jsonl.

    Then: textmill tag INPUT OUTPUT --model FOLDER
    """
    from models.factory.own.documents import Columns, read_documents
    from models.factory.own.train import OwnTraining
    from models.factory.own.train import train as run

    columns = Columns(text_column, label_column, entities_column)
    documents = read_documents(data, columns)
    measured = read_documents(test, columns) if test else None
    settings = OwnTraining(start, held_out, epochs, seed)
    about = run(documents, measured, folder, settings, lambda line: print(line, file=sys.stderr, flush=True))
    _show(about)
    print(f"Next: textmill tag INPUT OUTPUT --model {folder}")


def _show(about: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "label", "precision", "recall", "F1", "labelled", title=f"{about['figures']['documents']} documents held out, per cent"
    )
    for part in ("entities", "classes"):
        found = about["figures"].get(part)
        if found is None:
            continue
        for name, one in found["each"].items():
            cells = ["-" if one[key] is None else str(one[key]) for key in ("precision", "recall", "f1")]
            table.add_row(name, *cells, str(one["count"]))
        table.add_section()
    Console().print(table)
