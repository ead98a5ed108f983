"""The Tagger as a callable for `ray.data.Dataset.map_batches`."""

from __future__ import annotations

import pyarrow as pa

from models.runtime.load import EngineName, load


class TextmillTagger:
    """Adds the Tagger's columns to batches of a dataset.

    Use: `dataset.map_batches(TextmillTagger, fn_constructor_kwargs={"threads": 1}, batch_format="pyarrow",
    compute=ray.data.ActorPoolStrategy(size=1))`. Leave a CPU for the reads: the pool must not take them all.

    Args:
        model: See `models.load`.
        text_column: Column of the texts.
        engine: See `models.load`.
        threads: Threads of each actor.
    """

    def __init__(
        self, model: str = "en", text_column: str = "text", engine: EngineName = "auto", threads: int | None = 1
    ) -> None:
        self._tagger = load(model, engine, threads)
        self._column = text_column

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The batch with the columns of `models.TAGS` appended; a null text is read as an empty one."""
        tags = self._tagger.tag([text or "" for text in batch[self._column].to_pylist()])
        for field, column in zip(tags.schema, tags.columns, strict=True):
            batch = batch.append_column(field, column)
        return batch
