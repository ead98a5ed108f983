"""Read only the texts of files, for measurements."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from itertools import chain

from pipeline.contract import DocumentSpec
from pipeline.source.discover import discover
from pipeline.source.prefetch import read_ahead
from pipeline.source.read import read_fragment
from pipeline.source.splitting import fragments
from pipeline.source.tables import stop_reader_processes


def texts_of(sources: Sequence[str], columns: DocumentSpec) -> list[str]:
    """Return all texts of some files that hold more than white space.

    Args:
        sources: Paths or URLs of files and folders, or patterns.
        columns: How the input is read.

    Raises:
        ConfigError: A source cannot be read.
    """
    found = discover(sources, unnamed=columns.reading.format)
    pieces = chain.from_iterable(fragments(found.store, entry, 1 << 40, columns) for entry in found.files)
    texts: list[str] = []
    try:
        readers = [partial(read_fragment, found.store, piece, columns) for piece in pieces]
        with closing(read_ahead(readers, found.store.read_concurrency)) as blocks:
            for block in blocks:
                texts += [text for text in block.texts if text.strip()]
    finally:
        stop_reader_processes()
    return texts
