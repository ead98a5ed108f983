"""textmill show OUTPUT"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.errors import ConfigError


def show(
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Output folder of `textmill tag`.")],
    rows: Annotated[int, typer.Option(min=1, help="Documents to show.")] = 12,
) -> None:
    """Show what a run found: some documents, the most frequent entities, the sentiment, and where the files are."""
    import pyarrow.dataset as ds
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from jobs.colours import COLOURS, SENTIMENT, legend, plain

    if not (output / "tags").is_dir():
        raise ConfigError(f"{output}: no tags/ in it; is it the output folder of `textmill tag`?")
    documents = 0
    some: list[dict[str, Any]] = []
    counts: Counter[tuple[str, str]] = Counter()
    moods: Counter[str] = Counter()
    for batch in ds.dataset(output / "tags", format="parquet").to_batches(columns=["id", "sentiment", "entities"]):
        documents += batch.num_rows
        found = batch["entities"].flatten()
        counts.update(zip(found.field("text").to_pylist(), found.field("label").to_pylist(), strict=True))
        moods.update(batch["sentiment"].to_pylist())
        if len(some) < rows:
            some += [row for row in batch.to_pylist() if row["entities"]][: rows - len(some)]
    dead = ds.dataset(output / "dead_letters", format="parquet") if (output / "dead_letters").is_dir() else None
    letters = dead.count_rows() if dead else 0

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
    for letter in dead.head(rows).to_pylist() if dead else ():
        place = f"{letter['path']}@{letter['position']}"
        console.print(plain(f"dead letter: {place}: {letter['reason']} ({letter['message']})"))
    if letters > rows:
        console.print(f"and {letters - rows:,} more dead letters")
    files = ["tags/*.parquet", *(["dead_letters/*.parquet"] if letters else []), "_runs/*.json"]
    console.print(plain("files: " + ", ".join(f"{output}/{name}" for name in files)))
