"""Texts that were seen before, in this block or in one of the last ones, are not computed again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

KEPT_BLOCKS = 8


class Reuse:
    """Remembers the tags of the last blocks, by the whole text: equal hashes are not equal texts."""

    def __init__(self) -> None:
        self._blocks: deque[tuple[dict[str, int], pa.Table]] = deque(maxlen=KEPT_BLOCKS)
        self.reused = 0

    def tag(self, texts: Sequence[str], tag: Callable[[list[str]], pa.Table]) -> pa.Table:
        """One row a text; `tag` is asked for the texts that are new, each once."""
        known: dict[str, tuple[int, int]] = {}
        new: dict[str, int] = {}
        for text in texts:
            if text in new or text in known:
                continue
            for number, (rows, _) in enumerate(self._blocks):
                if (row := rows.get(text)) is not None:
                    known[text] = number, row
                    break
            else:
                new[text] = len(new)
        if len(new) == len(texts):
            table = tag(list(texts))
            self._blocks.append((new, table))
            return table
        tables = [table for _, table in self._blocks]
        fresh = tag(list(new)) if new else None
        starts = np.cumsum([0, *(table.num_rows for table in tables)])
        places = [
            int(starts[known[text][0]]) + known[text][1] if text in known else int(starts[-1]) + new[text] for text in texts
        ]  # fmt: skip
        self.reused += len(texts) - len(new)
        found = pa.concat_tables([*tables, *([fresh] if fresh is not None else [])]).take(pa.array(places, pa.int64()))
        if fresh is not None:
            self._blocks.append((new, fresh))
        return found
