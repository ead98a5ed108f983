"""textmill index OUTPUT ANSWERS."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from jobs.summaries import AsJson, indexed, show


def index(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Output folder of textmill tag, or its URL.")],
    answers: Annotated[
        str, typer.Argument(metavar="ANSWERS", help="Folder of the index, or its URL on HDFS or S3. It is made if need be.")
    ],
    vectors: Annotated[
        bool | None,
        typer.Option(
            "--vectors/--no-vectors",
            help="Make vectors of English passages, by which answers in other words are found. Default: as before.",
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file. Its table store says how HDFS is reached.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="Set one key of that table. May be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make the passages of tagged documents findable, for textmill ask.

    The same command takes in what is new, and what was tagged again; the rest stays as it is. Texts that were not kept
    (--keep-text) are read again from the input. Readers see the old generation until the new one is whole. A build that was
    killed is begun anew by the same command. Exit code 4 means that a file of the input has changed since it was tagged, or is
    gone: its part is not in the index, all others are.
    """
    from jobs.streams import note
    from pipeline.ask.index import EMBEDDER_NAME, build_index, embedder_of
    from pipeline.config import load_store
    from pipeline.signals import handling_signals
    from pipeline.store.open import open_store

    reach = load_store(config, sets or ())
    with handling_signals() as stop:
        there = open_store(answers, reach)
        embedder = embedder_of(there) if vectors is None else EMBEDDER_NAME if vectors else None
        counts = build_index(open_store(output, reach), there, note, stop.check, reach, embedder)
    status = "finished" if counts.added or counts.removed else "nothing to do"
    show({"status": status, **asdict(counts)}, indexed(counts, answers), as_json)
