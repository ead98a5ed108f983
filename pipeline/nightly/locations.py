"""The places that a job's settings name: the output's store, the input's files. Opened here and nowhere else in the jobs."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.config import TagConfig
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


def root_of(tag: TagConfig, url: str) -> Store:
    """Open the store of an input's root.

    Args:
        tag: Settings of the job.
        url: The root.

    Returns:
        The store.
    """
    return open_store(url, tag.store)
