"""The Tagger as a callable for `ray.data.Dataset.map_batches`."""

from __future__ import annotations

import pyarrow as pa

from models.runtime.confidence import surer
from models.runtime.labels import MIN_SCORE
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
        min_score: The least score of an entity that is given, from 0 to 1.
    """

    def __init__(
        self,
        model: str = "en",
        text_column: str = "text",
        engine: EngineName = "auto",
        threads: int | None = 1,
        min_score: float = MIN_SCORE,
    ) -> None:
        self._tagger = load(model, engine, threads)
        self._column, self._min_score = text_column, min_score

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The batch with the columns of `models.TAGS` appended; a null text is read as an empty one."""
        tags = surer(self._tagger.tag([text or "" for text in batch[self._column].to_pylist()]), self._min_score)
        for field, column in zip(tags.schema, tags.columns, strict=True):
            batch = batch.append_column(field, column)
        return batch
