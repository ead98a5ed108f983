"""Which columns of the input are used as what, by the first records of a file of each format: for a run's announcement."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing

from pipeline.contract import Columns, Fragment
from pipeline.errors import PipelineError
from pipeline.source.read import read_fragment
from pipeline.store.base import Store

# So many formats are looked into.
FORMATS_SHOWN = 4


def columns_used(store: Store, pieces: Iterable[Fragment], columns: Columns) -> dict[str, str]:
    """By format, in words: "text is text; id is id; time is created_at; no source". What cannot be read is left out here: it is
    told where it is to be tagged.
    """
    first: dict[str, Fragment] = {}
    for piece in pieces:
        if piece.format != "text" and len(first) < FORMATS_SHOWN:
            first.setdefault(piece.format, piece)
    return {name: said for name, piece in first.items() if (said := _used(store, piece, columns))}


def _used(store: Store, piece: Fragment, columns: Columns) -> str:
    try:
        with closing(read_fragment(store, piece, columns)) as blocks:  # type: ignore[type-var]
            block = next(blocks, None)
    except (PipelineError, OSError, ModuleNotFoundError):
        return ""
    if block is None or not block.used:
        return ""
    words = []
    for role in ("text", "id", "time", "source"):
        names = sorted({name for of, name in block.used if of == role})
        words.append(f"{role} is {' or '.join(names)}" if names else f"no {role}")
    if columns.time_from != "column":
        words[2] = f"time is the {'date of the folder' if columns.time_from == 'folder' else 'date in the name'}"
    return "; ".join(words)
