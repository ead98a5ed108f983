"""textmill tag INPUT OUTPUT"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def tag(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="JSON lines: a file or a folder, plain or .gz.")],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Folder for tags/, dead_letters/, summary.json.")],
    text_column: Annotated[str, typer.Option(help="Key of the text.")] = "text",
    id_column: Annotated[str | None, typer.Option(help="Key of the id; else path:line is the id.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Carry this key through; may be repeated.")] = None,
    model: Annotated[str, typer.Option(help="en, en-fast, or a model folder.")] = "en",
    engine: Annotated[str, typer.Option(help="auto, openvino or torch.")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Ray actors on this machine; 0 is this process.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each worker; all CPUs by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run's output.")] = False,
) -> None:
    """Tag documents into Parquet. A line that is no JSON or has no text becomes a dead letter with file and line."""
    from pipeline.run import Options, tag_folder
    from pipeline.source.jsonl import Columns

    columns = Columns(text_column, id_column, tuple(keep or ()))
    summary = tag_folder(Options(source, output, columns, model, engine, workers, threads, overwrite))
    print(json.dumps(asdict(summary), indent=1))
