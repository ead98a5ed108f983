"""A file that is lost to its split costs that file alone: one dead letter stands for it, and its neighbours are tagged."""

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
    """A file cannot be read as it was planned. Some of its documents may have been given already: the split is read again, and
    `losses` are the files to be left out.
    """

    def __init__(self, losses: Losses) -> None:
        super().__init__(*losses)
        self.losses = losses


def read_skipping_lost(
    store: Store, fragment: Fragment, columns: DocumentSpec, met: ReadCounts, losses: Losses, cursors: Cursors | None = None
) -> Iterator[Block]:
    """As `read_fragment`; of a file that is lost one dead letter. Raises LostFileError instead of InputChangedError and
    DeniedError.
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
    """Which files of a split are not what was planned, as far as that is seen without reading them."""

    def look(fragment: Fragment) -> PipelineError | None:
        try:
            check_unchanged(store, fragment)
        except (InputChangedError, DeniedError) as error:
            return error
        return None

    first = {piece.path: piece for piece in fragments}
    with ThreadPoolExecutor(store.lanes, "textmill-look") as pool:
        found = zip(first, pool.map(look, first.values()), strict=True)
        return {path: _loss(error) for path, error in found if error is not None}


def _loss(error: PipelineError) -> tuple[Trouble, str]:
    if isinstance(error, DeniedError):
        return "denied", f"{type(error).__name__}: {error}"
    return ("gone" if isinstance(error, InputGoneError) else "changed"), str(error)
