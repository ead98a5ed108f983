"""A run: read ahead, tag, write, sum up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from models.runtime.package import open_package
from models.runtime.tagger import check_engine
from pipeline.contract import Block, tagged_schema
from pipeline.errors import ConfigError
from pipeline.fleet.actors import check_ray, tag_on_ray
from pipeline.fleet.local import tag_here
from pipeline.observe.progress import Progress
from pipeline.sink.parts import PartWriter
from pipeline.source.ahead import read_ahead
from pipeline.source.jsonl import Columns, discover, read_blocks
from pipeline.stopping import stoppable


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is to do. `workers` 0 is this process; `threads` None is all CPUs, shared between the workers."""

    source: Path
    output: Path
    columns: Columns
    model: str = "en"
    engine: str = "auto"
    workers: int = 0
    threads: int | None = None
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did; `rows_in` = `rows_out` + `dead_letters`. Speeds include reading and writing."""

    model: str
    model_digest: str
    files: int
    parts: int
    rows_in: int
    rows_out: int
    dead_letters: int
    tokens: int
    seconds: float
    documents_s: float
    tokens_s: float


def tag_folder(options: Options) -> Summary:
    """Tag every document below `options.source` into `options.output`.

    Raises ConfigError or OutputError before anything is tagged, ModelError if the model is refused.
    """
    reserved = {"id", "lang", "entities", "sentiment", "sentiment_scores", "words"}
    if taken := sorted(reserved.intersection(options.columns.keep)):
        raise ConfigError(f"--keep {taken[0]}: the output has a column of that name already")
    if len(set(options.columns.keep)) < len(options.columns.keep):
        raise ConfigError("--keep names a column twice")
    files = discover(options.source)
    root = options.source if options.source.is_dir() else options.source.parent
    if options.output.resolve().is_relative_to(options.source.resolve()):
        raise ConfigError(f"{options.output} lies inside the input; the next run would read it")
    package = open_package(options.model)
    check_engine(options.engine)  # type: ignore[arg-type]
    if options.workers:
        check_ray()
    metadata = {"textmill.model": package.name, "textmill.model_digest": package.digest}
    writer = PartWriter(options.output, tagged_schema(options.columns.keep), metadata, options.overwrite)

    readers = [partial(read_blocks, path, path.relative_to(root).as_posix(), options.columns) for path in files]
    rows_in = 0

    def counted(blocks: Iterator[Block]) -> Iterator[Block]:
        nonlocal rows_in
        for block in blocks:
            stop.check()
            rows_in += block.rows
            yield block

    model = str(options.model)
    began = time.monotonic()
    with stoppable() as stop, closing(read_ahead(readers)) as blocks, Progress(len(files)) as progress:
        source = counted(blocks)
        if options.workers:
            results = tag_on_ray(source, model, options.engine, options.threads, options.workers, stop.check)
        else:
            results = tag_here(source, model, options.engine, options.threads, stop.check)
        for tagged in results:
            writer.write(tagged)
            progress.add(tagged.table.num_rows, tagged.tokens, len(tagged.dead))
        parts = writer.finish()
    seconds = time.monotonic() - began
    rows_out = progress.documents
    summary = Summary(
        model=package.name,
        model_digest=package.digest,
        files=len(files),
        parts=parts,
        rows_in=rows_in,
        rows_out=rows_out,
        dead_letters=writer.dead,
        tokens=progress.tokens,
        seconds=round(seconds, 2),
        documents_s=round(rows_out / seconds, 1),
        tokens_s=round(progress.tokens / seconds, 1),
    )
    writer.close(asdict(summary))
    return summary
