"""textmill index OUTPUT ANSWERS."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def index(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Output folder of textmill tag --keep-text, or its URL.")],
    answers: Annotated[
        Path, typer.Argument(metavar="ANSWERS", help="Folder of the index on this machine. It is made if need be.")
    ],
    vectors: Annotated[
        bool,
        typer.Option(
            "--vectors/--no-vectors", help="Make vectors of English passages, by which answers in other words are found."
        ),
    ] = True,
    config: Annotated[Path | None, typer.Option(help="TOML file. Its table store says how HDFS is reached.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="Set one key of that table. May be repeated.")
    ] = None,
) -> None:
    """Make the passages of tagged documents findable, for textmill ask.

    The same command takes in what is new, and what was tagged again; the rest stays as it is. Readers see the old generation
    until the new one is whole. A build that was killed is begun anew by the same command.
    """
    from jobs.streams import note
    from pipeline.ask.index import EMBEDDER_NAME, build_index
    from pipeline.config import load_store
    from pipeline.signals import handling_signals
    from pipeline.store.open import open_store

    with handling_signals() as stop:
        store = open_store(output, load_store(config, sets or ()))
        counts = build_index(store, answers, note, stop.check, EMBEDDER_NAME if vectors else None)
    print(json.dumps({"status": "finished" if counts.added or counts.removed else "nothing to do", **asdict(counts)}, indent=1))
