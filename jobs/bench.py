"""textmill bench model"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Measure speeds on this machine.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Measure speeds on this machine."""


@app.command("model")
def model(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="en, en-fast, zh, or a model folder.")] = "en",
    texts: Annotated[Path, typer.Option(help="The texts: a file or a folder.")] = Path("examples/documents/posts.jsonl"),
    limit: Annotated[int, typer.Option(min=8, help="At most so many texts.")] = 1500,
    threads: Annotated[int | None, typer.Option(min=1, help="All CPUs by default.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Alternating rounds; medians are shown.")] = 5,
    pipelines: Annotated[int, typer.Option(min=0, help="So many texts also go through transformers pipelines.")] = 0,
) -> None:
    """A model's speed beside its language's fp32 encoder in torch on the same sorted batches, as ratios, with the CPU's name."""
    from models.bench import measure
    from models.runtime.engines import default_threads
    from pipeline.contract import DocumentSpec
    from pipeline.source.texts import texts_of

    found = texts_of([str(texts)], DocumentSpec())
    # Evenly spaced, so that all files have their share.
    count = min(limit, len(found))
    chosen = [found[i * len(found) // count] for i in range(count)]
    speed = measure(name, chosen, threads or default_threads(), rounds, pipelines)
    print(json.dumps(speed.to_json(), indent=1))


@app.command("fleet")
def fleet(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of JSON lines with a column text.")],
    name: Annotated[str, typer.Option("--model", help="en, en-fast, zh, or a model folder.")] = "en-fast",
    workers: Annotated[int, typer.Option(min=1, help="One-thread workers.")] = 2,
    split_tokens: Annotated[int, typer.Option(min=1, help="Predicted tokens of a part.")] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, each in another order; medians are shown.")] = 3,
) -> None:
    """Ray workers beside plain processes, and beside Ray Data as it is and tuned by hand: the same texts, the same Tagger."""
    from models.runtime.cpu import cpu_name
    from pipeline.run.fleet_bench import measure

    print(json.dumps({"cpu": cpu_name(), **measure(source, name, workers, split_tokens, rounds)}, indent=1))
