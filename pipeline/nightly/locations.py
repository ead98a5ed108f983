"""The places that a job's settings name: the output's store, the input's files. Opened here and nowhere else in the jobs."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.ask.index_process import IndexOrder
from pipeline.config import TagConfig
from pipeline.nightly.config import NightConfig
from pipeline.source.discover import Discovered, discover
from pipeline.store.base import Store
from pipeline.store.open import open_store


def output_of(tag: TagConfig) -> Store:
    """Open the output's store.

    Args:
        tag: Settings of the job.

    Returns:
        The store below the output's folder.
    """
    return open_store(tag.output, tag.store)


def input_of(tag: TagConfig, marks: Collection[str] = ()) -> Discovered:
    """Find the files of the input.

    Args:
        tag: Settings of the job.
        marks: Names of other files that are wanted too.

    Returns:
        The files.

    Raises:
        ConfigError: There is no input.
        StoreError: It cannot be listed.
    """
    return discover(tag.sources, tag.store, marks, tag.format)


def index_order_of(config: NightConfig, every_s: float = 0.0, wait_s: float = 0.0) -> IndexOrder | None:
    """Say which index a job keeps up to date.

    Args:
        config: Settings of the job.
        every_s: Seconds between looks; 0 for one look.
        wait_s: Seconds for which one look waits for another process that makes the index.

    Returns:
        The index; None if the settings name none.
    """
    if config.index is None:
        return None
    reach = config.tag.store
    answers = open_store(config.index, reach).url
    return IndexOrder(output_of(config.tag).url, answers, reach.told(), every_s, wait_s)


def root_of(tag: TagConfig, url: str) -> Store:
    """Open the store of an input's root.

    Args:
        tag: Settings of the job.
        url: The root.

    Returns:
        The store.
    """
    return open_store(url, tag.store)
