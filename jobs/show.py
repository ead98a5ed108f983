"""textmill show OUTPUT"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.errors import ConfigError


def show(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Output folder of textmill tag, or its URL.")],
    rows: Annotated[int, typer.Option(min=1, help="Number of documents to show.")] = 12,
    config: Annotated[Path | None, typer.Option(help="TOML file. Its table store says how HDFS is reached.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="Set one key of that table. May be repeated.")
    ] = None,
) -> None:
    """Show what an output holds: some documents, frequent entities, sentiment, dead letters."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from jobs.colours import COLOURS, SENTIMENT, legend, plain
    from pipeline.config import load_store
    from pipeline.sink.ledger import batches_of
    from pipeline.store.open import open_store

    store = open_store(output, load_store(config, sets or ()))
    if next(iter(store.list("tags")), None) is None:
        raise ConfigError(f"{output}: no tags/ in it; is it the output folder of `textmill tag`?")
    documents = 0
    some: list[dict[str, Any]] = []
    counts: Counter[tuple[str, str]] = Counter()
    moods: Counter[str] = Counter()
    for batch in batches_of(store, "tags", ["id", "sentiment", "entities"]):
        documents += batch.num_rows
        found = batch["entities"].flatten()
        counts.update(zip(found.field("text").to_pylist(), found.field("label").to_pylist(), strict=True))
        moods.update(batch["sentiment"].to_pylist())
        if len(some) < rows:
            some += [row for row in batch.to_pylist() if row["entities"]][: rows - len(some)]
    dead: list[dict[str, Any]] = []
    letters = 0
    for batch in batches_of(store, "dead_letters", ["path", "position", "reason", "message"]):
        letters += batch.num_rows
        dead += batch.slice(0, rows - len(dead)).to_pylist() if len(dead) < rows else []

    console = Console()
    table = Table("id", "sentiment", "entities", title=f"{documents:,} documents, {letters:,} dead letters")
    for row in some:
        names = [plain(f" {e['text']} ", COLOURS[e["label"]]) for e in row["entities"]]
        table.add_row(plain(row["id"]), Text(row["sentiment"], style=SENTIMENT[row["sentiment"]]), Text(" ").join(names))
    console.print(table, legend(), sep="\n")
    top = Table("entity", "label", "times", title="most frequent")
    for (name, label), times in counts.most_common(10):
        top.add_row(plain(name), Text(label, style=COLOURS[label]), str(times))
    console.print(top)
    console.print("sentiment: " + ", ".join(f"{name} {times}" for name, times in moods.most_common()))
    for letter in dead:
        place = f"{letter['path']}@{letter['position']}"
        console.print(plain(f"dead letter: {place}: {letter['reason']} ({letter['message']})"))
    if letters > rows:
        console.print(f"and {letters - rows:,} more dead letters")
    files = ["tags/*.parquet", *(["dead_letters/*.parquet"] if letters else []), "_runs/*.json"]
    console.print(plain("files: " + ", ".join(f"{output}/{name}" for name in files)))
