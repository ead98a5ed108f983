"""How far a split is read, told in the tokens that were predicted for it: by bytes, by rows, or by the length of its texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from pipeline.contract import Block, Fragment
from pipeline.source.formats import PACKED
from pipeline.source.splitting import BYTES_A_TOKEN

# What can only be told by the texts' lengths is never done before its end: all around the texts is not counted.
MOST = 0.99


class SplitProgress:
    """Tells of each block how much of the split it was.

    Where positions are bytes of the file that was planned, they tell; of tables the rows do. What is packed has positions of its
    own: then the lengths of the texts must do, which say too little where a file holds much beside them.

    Args:
        fragments: Of the split, in the order in which they are read.
    """

    def __init__(self, fragments: Sequence[Fragment]) -> None:
        self._pieces: dict[str, list[tuple[Fragment, int]]] = {}
        tokens = 0
        for piece in fragments:
            self._pieces.setdefault(piece.path, []).append((piece, tokens))
            tokens += piece.tokens
        self._all, self._rows, self._told = tokens, Counter[str](), 0

    def read(self, block: Block) -> int:
        """Count a block that was read.

        Args:
            block: The next of the split's blocks.

        Returns:
            Tokens that were predicted for it; of all blocks together never more than for the split.
        """
        self._rows.update(block.paths)
        self._rows.update(one.path for one in block.left_out)
        place = self._place(block)
        if place is None:
            place = min(self._told + sum(map(len, block.texts)) / BYTES_A_TOKEN, MOST * self._all)
        new = max(0, int(place) - self._told)
        self._told += new
        return new

    def _place(self, block: Block) -> float | None:
        """Tokens of the split up to the block's last document; None if its place does not tell."""
        if not block.texts or block.paths[-1] not in self._pieces:
            return None
        path, position = block.paths[-1], block.positions[-1]
        pieces = self._pieces[path]
        before = pieces[0][1]
        if all(piece.rows is not None for piece, _ in pieces):
            rows, tokens = (sum(piece.rows or 0 for piece, _ in pieces), sum(piece.tokens for piece, _ in pieces))
            return before + tokens * min(1.0, self._rows[path] / max(1, rows))
        if pieces[0][0].unpacked is None and PurePosixPath(path).suffix in PACKED:
            return None
        here = next(((piece, first) for piece, first in pieces if piece.start <= position < piece.end), None)
        if here is None:
            return None
        piece, first = here
        return first + piece.tokens * (position - piece.start) / max(1, piece.end - piece.start)
