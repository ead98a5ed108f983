"""Counts of what a block came to that say whether a run is what was meant; `pipeline.observe.warnings` judges their sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contract import TIME, Block, RejectedDocument

# Most times before the one or from the other on are numbers or years that were misread.
EARLY, LATE = (pa.scalar(datetime(year, 1, 1, tzinfo=UTC), TIME) for year in (1990, 2100))
FILTERED = "filtered_"


def tally(block: Block, rows: pa.Table, left_out: Sequence[RejectedDocument]) -> Counter[str]:
    """Count what is noticed of a block's documents.

    Args:
        block: The block as it was tagged.
        rows: Its rows.
        left_out: Its dead letters and filtered documents.

    Returns:
        Counts by name.
    """
    found = Counter(
        characters=sum(map(len, block.texts)),
        undecodable_characters=sum(text.count("\ufffd") for text in block.texts),
        blank_texts=sum(not text or text.isspace() for text in block.texts),
    )
    if rows.num_rows:
        times = rows["created_at"]
        unlikely = pc.or_(pc.less(times, EARLY), pc.greater_equal(times, LATE))
        most = pc.max(pc.value_counts(rows["id"]).field("counts")).as_py()
        found.update(null_times=times.null_count, unlikely_times=pc.sum(unlikely).as_py() or 0, equal_ids=most if most > 1 else 0)
    prefix = "language "
    found.update(FILTERED + one.message.removeprefix(prefix) for one in left_out if one.message.startswith(prefix))
    return +found
