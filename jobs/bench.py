"""textmill bench model, fleet and ask."""

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
    texts: Annotated[Path, typer.Option(help="File or folder of the texts.")] = Path("examples/documents/posts.jsonl"),
    limit: Annotated[int, typer.Option(min=8, help="Number of texts at most.")] = 1500,
    threads: Annotated[int | None, typer.Option(min=1, help="Number of threads. Default: all CPUs.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Number of alternating rounds. Medians are shown.")] = 5,
    pipelines: Annotated[
        int, typer.Option(min=0, help="Number of texts that also go through two transformers pipelines. 0 leaves them out.")
    ] = 0,
) -> None:
    """Compare a model's speed with that of the fp32 encoder of its language in torch.

    Both compute the same sorted batches. The result is a ratio.
    """
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
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of JSON lines with a column text.")],
    name: Annotated[str, typer.Option("--model", help="en, en-fast, zh, or a model folder.")] = "en-fast",
    workers: Annotated[int, typer.Option(min=1, help="Number of workers, each of one thread.")] = 2,
    split_tokens: Annotated[int, typer.Option(min=1, help="Predicted tokens of one part of the output.")] = 100_000,
    rounds: Annotated[int, typer.Option(min=1, help="Number of rounds, each in another order. Medians are shown.")] = 3,
) -> None:
    """Compare the fleet of Ray workers with plain processes and with Ray Data.

    Ray Data runs as it is and tuned by hand. All tag the same texts with the same Tagger.
    """
    from models.runtime.cpu import cpu_name
    from pipeline.run.fleet_bench import measure

    print(json.dumps({"cpu": cpu_name(), **measure(source, name, workers, split_tokens, rounds)}, indent=1))


@app.command("ask")
def ask(
    data_dir: Annotated[Path, typer.Option(help="Folder that holds the corpora of questions (qa/).")],
    work: Annotated[Path, typer.Option(help="Folder of the documents, the index and the log. What is there is used.")] = Path(
        "out/bench-ask"
    ),
    documents: Annotated[int, typer.Option(min=100, help="Number of documents.")] = 10_000,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of each load.")] = 30.0,
    transformers: Annotated[
        Path | None, typer.Option(help="Python with transformers 4.57 and torch: its question-answering pipeline is timed too.")
    ] = None,
    haystack: Annotated[
        Path | None, typer.Option(help="Python with haystack-ai and transformers-haystack: its extractive reader is timed too.")
    ] = None,
) -> None:
    """Measure the service that answers questions: latency, throughput, classes, the cache, memory.

    The documents are passages of the corpora. With --transformers and --haystack the same passages are read by the readers of
    these too, in fp32, with an encoder of the same shape.
    """
    from jobs.bench_ask import documents_and_questions, indexed
    from jobs.bench_peers import against
    from jobs.streams import note
    from models.runtime.cpu import cpu_name
    from pipeline.ask.service.bench import measure

    work /= str(documents)
    questions = documents_and_questions(data_dir, work, documents)
    answers = indexed(work, note)
    found = {"cpu": cpu_name(), "documents": documents, **measure(answers, questions, seconds, work, note)}
    pythons = {name: python for name, python in (("transformers", transformers), ("haystack", haystack)) if python is not None}
    if pythons:
        found["peers"] = against(answers, questions[:60], pythons, note)
    print(json.dumps(found, indent=1))
