"""textmill show OUTPUT."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.store.base import Store


def show(
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="Output folder of textmill tag, or its URL.")],
    rows: Annotated[int, typer.Option(min=1, help="Number of documents to show.")] = 12,
    config: Annotated[Path | None, typer.Option(help="TOML file. Its table store says how HDFS is reached.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="store.KEY=VALUE", help="Set one key of that table. May be repeated.")
    ] = None,
) -> None:
    """Show what an output holds: some documents, frequent entities, sentiment or other classes, dead letters."""
    from pipeline.config import load_store
    from pipeline.store.open import open_store

    store = open_store(output, load_store(config, sets or ()))
    if next(iter(store.list("tags")), None) is None:
        raise ConfigError(f"{output}: no tags/ in it; is it the output folder of `textmill tag`?")
    _print(output, _seen(store, rows), rows)


@dataclass(slots=True)
class _Seen:
    """What an output holds, and some of it: documents with entities and the first of all, and dead letters."""

    documents: int = 0
    dead_letters: int = 0
    some: list[dict[str, Any]] = field(default_factory=list)
    first: list[dict[str, Any]] = field(default_factory=list)
    some_dead: list[dict[str, Any]] = field(default_factory=list)
    entities: Counter[tuple[str, str]] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)


def _seen(store: Store, rows: int) -> _Seen:
    from pipeline.sink.ledger import batches_of

    seen = _Seen()
    for batch in batches_of(store, "tags", ["id", "sentiment", "entities"]):
        seen.documents += batch.num_rows
        found = batch["entities"].flatten()
        seen.entities.update(zip(found.field("text").to_pylist(), found.field("label").to_pylist(), strict=True))
        seen.classes.update(batch["sentiment"].drop_null().to_pylist())
        seen.first += batch.slice(0, max(0, rows - len(seen.first))).to_pylist()
        if len(seen.some) < rows:
            seen.some += [row for row in batch.to_pylist() if row["entities"]][: rows - len(seen.some)]
    for batch in batches_of(store, "dead_letters", ["path", "position", "reason", "message"]):
        seen.dead_letters += batch.num_rows
        seen.some_dead += batch.slice(0, max(0, rows - len(seen.some_dead))).to_pylist()
    return seen


def _print(output: str, seen: _Seen, rows: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from jobs.colours import classed, colours, legend, plain

    console, styles = Console(), colours(label for _, label in seen.entities)
    columns = ["id", *(["sentiment"] if seen.classes else []), "entities"]
    table = Table(*columns, title=f"{seen.documents:,} documents, {seen.dead_letters:,} dead letters")
    for row in seen.some or seen.first:
        names = Text(" ").join(plain(f" {e['text']} ", styles[e["label"]]) for e in row["entities"])
        table.add_row(plain(row["id"]), *([classed(row["sentiment"] or "")] if seen.classes else []), names)
    console.print(table, legend(styles), sep="\n")
    top = Table("entity", "label", "times", title="most frequent")
    for (name, label), times in seen.entities.most_common(10):
        top.add_row(plain(name), plain(label, styles[label]), str(times))
    if seen.entities:
        console.print(top)
    if seen.classes:
        console.print(plain("sentiment: " + ", ".join(f"{name} {times}" for name, times in seen.classes.most_common())))
    for letter in seen.some_dead:
        place = f"{letter['path']}@{letter['position']}"
        console.print(plain(f"dead letter: {place}: {letter['reason']} ({letter['message']})"))
    if seen.dead_letters > rows:
        console.print(f"and {seen.dead_letters - rows:,} more dead letters")
    files = ["tags/*.parquet", *(["dead_letters/*.parquet"] if seen.dead_letters else []), "_runs/*.json"]
    console.print(plain("files: " + ", ".join(f"{output}/{name}" for name in files)))
