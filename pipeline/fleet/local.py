"""The work done in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pipeline.contract import Block, Tagged
from pipeline.worker import TagWorker


def tag_here(
    blocks: Iterable[Block], model: str, engine: str, threads: int | None, check: Callable[[], object]
) -> Iterator[Tagged]:
    """Tag block after block with one worker; `check` is called several times a second, what it raises ends the run."""
    worker = TagWorker(model, engine, threads)
    for block in blocks:
        yield worker.tag(block, check)
