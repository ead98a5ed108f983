"""The part of the cache that is in this process: the texts used last, by the whole text, within a bound of memory."""

from __future__ import annotations

import sys
from collections import OrderedDict

# What an entry costs beside text and row: a tuple, a float, a place in the dictionary.
_ENTRY_BYTES = 200


class LruTier:
    """Rows in memory by text, least recently used out first.

    The whole text is the key, so that two texts with the same hash are never mistaken for each other.

    Args:
        limit_bytes: Memory that all texts and rows together may take, in bytes.

    Attributes:
        size_bytes: Memory that they take now, about, in bytes.
    """

    def __init__(self, limit_bytes: float) -> None:
        self._limit, self._rows = limit_bytes, OrderedDict[str, tuple[bytes, float]]()
        self.size_bytes = 0

    def get(self, text: str) -> tuple[bytes, float] | None:
        """Look up a text, which then counts as used last.

        Args:
            text: The text as it was tagged.

        Returns:
            The text's row, and the seconds that computing it took; None if it is not in memory.
        """
        found = self._rows.get(text)
        if found is not None:
            self._rows.move_to_end(text)
        return found

    def put(self, text: str, row: bytes, cost_s: float) -> None:
        """Remember a text's row, and forget those that were not used for longest until all fit into the limit.

        Args:
            text: The text as it was tagged.
            row: Tags of the text, from `RowCodec.encode`.
            cost_s: Seconds that computing the tags took.
        """
        before = self._rows.pop(text, None)
        if before is not None:
            self.size_bytes -= _size(text, before[0])
        self._rows[text] = row, cost_s
        self.size_bytes += _size(text, row)
        while self.size_bytes > self._limit:
            old, (gone, _) = self._rows.popitem(last=False)
            self.size_bytes -= _size(old, gone)


def _size(text: str, row: bytes) -> int:
    return sys.getsizeof(text) + sys.getsizeof(row) + _ENTRY_BYTES
