"""The work done in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.contract import Block, Tagged
from pipeline.worker import TagWorker


def tag_here(blocks: Iterable[Block], model: str, engine: str, threads: int | None) -> Iterator[Tagged]:
    """Tag block after block with one worker."""
    worker = TagWorker(model, engine, threads)
    return map(worker.tag, blocks)
