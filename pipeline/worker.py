"""The worker: blocks in, tagged tables out. One class, used in this process and inside a Ray actor."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from pipeline.contract import Block, Tagged, tagged_schema


class TagWorker:
    """Holds a loaded model; `tag` turns a block into rows of the output."""

    def __init__(self, model: str, engine: str = "auto", threads: int | None = None) -> None:
        from models.runtime.tagger import load

        self._tagger = load(model, engine=engine, threads=threads)  # type: ignore[arg-type]

    def tag(self, block: Block, check: Callable[[], object] | None = None) -> Tagged:
        """Tag the texts of a block; its dead letters are passed on. What `check`, called often, raises ends the work."""
        before = self._tagger.work.tokens
        tags = self._tagger.tag(block.texts, check)
        keep = block.columns.column_names[1:]
        table = pa.Table.from_arrays([*block.columns.columns, *tags.columns], schema=tagged_schema(keep))
        return Tagged(table.combine_chunks(), block.dead, self._tagger.work.tokens - before)
