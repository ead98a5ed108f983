"""textmill show OUTPUT"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import ConfigError


def show(
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Output folder of `textmill tag`.")],
    rows: Annotated[int, typer.Option(min=1, help="Documents to show.")] = 12,
) -> None:
    """Show what a run found: some documents, the most frequent entities, the sentiment, and where the files are."""
    import pyarrow.parquet as pq
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from jobs.colours import COLOURS, SENTIMENT, legend

    if not (output / "tags").is_dir():
        raise ConfigError(f"{output}: no tags/ in it; is it the output folder of `textmill tag`?")
    columns = ["id", "sentiment", "entities"]
    found = pq.read_table(output / "tags", columns=columns).to_pylist()
    dead = pq.read_table(output / "dead_letters").to_pylist() if (output / "dead_letters").is_dir() else []
    console = Console()
    table = Table("id", "sentiment", "entities", title=f"{len(found):,} documents, {len(dead):,} dead letters")
    for row in [r for r in found if r["entities"]][:rows]:
        names = [Text(f" {e['text']} ", style=COLOURS[e["label"]]) for e in row["entities"]]
        table.add_row(row["id"], Text(row["sentiment"], style=SENTIMENT[row["sentiment"]]), Text(" ").join(names))
    console.print(table, legend(), sep="\n")
    counts = Counter((e["text"], e["label"]) for row in found for e in row["entities"])
    top = Table("entity", "label", "times", title="most frequent")
    for (name, label), times in counts.most_common(10):
        top.add_row(name, Text(label, style=COLOURS[label]), str(times))
    console.print(top)
    moods = Counter(row["sentiment"] for row in found)
    console.print("sentiment: " + ", ".join(f"{name} {times}" for name, times in moods.most_common()))
    for letter in dead:
        console.print(
            f"dead letter: {letter['path']} line {letter['line']}: {letter['reason']} ({letter['detail']})",
            markup=False,
        )
    console.print(f"files: {output}/tags/*.parquet, {output}/dead_letters/*.parquet, {output}/summary.json", markup=False)
