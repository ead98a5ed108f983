"""textmill export OUTPUT DESTINATION."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from jobs.summaries import AsJson, show

EVERY_S = 5.0


def export(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Output folder of textmill tag, or its URL.")],
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DESTINATION", help="File that is written, on this machine; a folder for brat, and for spacy without .spacy."
        ),
    ],
    kind: Annotated[str, typer.Option("--format", metavar="jsonl|csv|conll|spacy|brat", help="What is written.")],
    where: Annotated[
        str | None, typer.Option("--filter", metavar="SQL", help="Only documents of which this is true, like: source = 'news'.")
    ] = None,
    as_json: AsJson = False,
    config: Annotated[Path | None, typer.Option(help="TOML file. Its table store says how HDFS is reached.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="Set one key of that table. May be repeated.")
    ] = None,
) -> None:
    """Write tagged documents in another tool's format.

    jsonl: an object a document, with all columns. csv: a row a document; entities, sentiment_scores and words as JSON. conll: a
    line a word with its part of speech and its BIO tag. spacy: a DocBin, or a folder of them where there are too many documents
    for one. brat: a folder with ID.txt and ID.ann.

    conll, spacy and brat need the texts: textmill tag --keep-text. For conll and spacy an entity that cuts a word is widened to
    all of it; the result counts such entities. The destination appears when it is whole, and nothing is overwritten.
    """
    from jobs.streams import note
    from pipeline.config import load_store
    from pipeline.export.export import export_documents
    from pipeline.signals import handling_signals
    from pipeline.store.open import open_store

    told = time.monotonic()

    def seen(done: int, parts: int) -> None:
        nonlocal told
        if time.monotonic() - told >= EVERY_S:
            told = time.monotonic()
            note(f"{done:,} of {parts:,} parts exported")

    store = open_store(output, load_store(config, sets or ()))
    with handling_signals() as stop:
        made = export_documents(store, destination, kind, where or "", seen, stop.check)
    words = f"{made.documents:,} documents -> {made.destination}"
    if made.entities_widened:
        words += f"\n{made.entities_widened:,} of {made.entities:,} entities cut a word, and are widened to all of it"
    if made.entities_left_out:
        words += f"\n{made.entities_left_out:,} entities are left out: a longer one holds their word, or they hold none"
    show(asdict(made), words, as_json)
