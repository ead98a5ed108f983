"""Let a lost file of a split cost itself alone: one dead letter stands for it, and its neighbours are tagged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline.contract import Block, DocumentSpec, Fragment
from pipeline.errors import DeniedError, InputChangedError, InputGoneError, PipelineError
from pipeline.source.blocks import BlockBuilder
from pipeline.source.cursors import Cursors
from pipeline.source.read import check_unchanged, read_fragment
from pipeline.source.read_counts import ReadCounts, Trouble
from pipeline.store.base import Store

Losses = Mapping[str, tuple[Trouble, str]]
"""What is wrong with files, by their paths: of what kind, and in words."""


class LostFileError(Exception):
    """A file cannot be read as it was planned.

    Some of its documents may have been given already, so that the split must be read again without it.

    Args:
        losses: What is wrong with files, by path.

    Attributes:
        losses: The files that are to be left out.
    """

    def __init__(self, losses: Losses) -> None:
        super().__init__(*losses)
        self.losses = losses


def read_skipping_lost(
    store: Store, fragment: Fragment, columns: DocumentSpec, met: ReadCounts, losses: Losses, cursors: Cursors | None = None
) -> Iterator[Block]:
    """Read a fragment as `read_fragment` does; a file that is known to be lost is one dead letter.

    Args:
        store: Holds the file.
        fragment: What is to be read.
        columns: How the input is read.
        met: Is added to: what was met.
        losses: The files that are known to be lost, by path.
        cursors: Where the caller is in compressed files, for one who reads their pieces in order.

    Yields:
        Blocks of documents.

    Raises:
        LostFileError: The file is not, or no longer, the one that was planned, or may not be opened.
        UnavailableError: The file cannot be read for now.
        LostDocumentsError: A table holds another number of rows than its footer says.
    """
    if fragment.path in losses:
        trouble, why = losses[fragment.path]
        met.stop(fragment, why, trouble)
        builder = BlockBuilder(fragment.path, columns)
        builder.kill(fragment.start, "file_unreadable", why)
        yield builder.take()
        return
    try:
        yield from read_fragment(store, fragment, columns, met, cursors=cursors)
    except (InputChangedError, DeniedError) as error:
        raise LostFileError({fragment.path: _loss(error)}) from error


def losses_of(store: Store, fragments: Sequence[Fragment]) -> Losses:
    """Find the files of a split that are not what was planned, as far as that is seen without reading them.

    Args:
        store: Holds the files.
        fragments: Those of the split; a file with several is looked at once.

    Returns:
        What is wrong with the files that are lost, by path.

    Raises:
        StoreError: A file cannot be looked at for another reason than permissions.
    """

    def look(fragment: Fragment) -> PipelineError | None:
        try:
            check_unchanged(store, fragment)
        except (InputChangedError, DeniedError) as error:
            return error
        return None

    first = {piece.path: piece for piece in fragments}
    with ThreadPoolExecutor(store.read_concurrency, "textmill-look") as pool:
        found = zip(first, pool.map(look, first.values()), strict=True)
        return {path: _loss(error) for path, error in found if error is not None}


def _loss(error: PipelineError) -> tuple[Trouble, str]:
    if isinstance(error, DeniedError):
        return "denied", f"{type(error).__name__}: {error}"
    return ("gone" if isinstance(error, InputGoneError) else "changed"), str(error)
