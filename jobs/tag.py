"""textmill tag INPUT... OUTPUT"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def tag(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...", help="Files, folders or globs of JSON lines, CSV, TSV, text, Parquet or Arrow; .gz, .zst, .bz2."
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Folder for tags/, dead_letters/, filtered/ and the plans.")],
    text_column: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    id_column: Annotated[
        str | None, typer.Option(help="Column of the id; without it, or where it is empty, path@position.")
    ] = None,
    time_column: Annotated[
        str, typer.Option(help="Column of the time: ISO 8601, or seconds or milliseconds since 1970.")
    ] = "created_at",
    source_column: Annotated[str, typer.Option(help="Column of the source.")] = "source",
    keep: Annotated[list[str] | None, typer.Option(help="Carry this column through; may be repeated.")] = None,
    keep_text: Annotated[bool, typer.Option("--keep-text", help="Write the text beside its tags.")] = False,
    documents: Annotated[str, typer.Option(help="What a document of a .txt file is: a line or the file.")] = "line",
    model: Annotated[str, typer.Option(help="en, en-fast, or a model folder.")] = "en",
    engine: Annotated[str, typer.Option(help="auto, openvino or torch.")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Ray actors on this machine; 0 is this process.")] = 0,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each worker; all CPUs by default.")] = None,
    retag: Annotated[
        bool,
        typer.Option("--retag", help="Tag everything anew, as another model or changed files need; the old tags stay till then."),
    ] = False,
    split_tokens: Annotated[int, typer.Option(min=1, help="Predicted tokens of a part.")] = 1_000_000,
    dead_letter_share: Annotated[float, typer.Option(min=0, max=1, help="Stop (exit 4) when more than this share ...")] = 0.1,
    dead_letter_count: Annotated[int, typer.Option(min=0, help="... and more than this many are dead letters.")] = 100,
) -> None:
    """Tag documents into Parquet.

    What was tagged by an earlier run into the same OUTPUT is not read again; what an earlier run began is finished. A document
    that cannot be read or tagged becomes a dead letter with file, position and reason.
    """
    from pipeline.contract import Columns
    from pipeline.errors import ConfigError
    from pipeline.planning import Options
    from pipeline.run import tag_documents

    if documents not in ("line", "file"):
        raise ConfigError(f"--documents {documents}: line or file")
    columns = Columns(
        text_column, id_column, time_column, source_column, tuple(keep or ()), keep_text,
        documents="file" if documents == "file" else "line",
    )  # fmt: skip
    options = Options(
        tuple(sources), output, columns, model, engine, workers, threads, retag, split_tokens, dead_letter_share,
        dead_letter_count,
    )  # fmt: skip
    print(json.dumps(asdict(tag_documents(options)), indent=1))
