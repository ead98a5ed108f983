"""The places that a job's settings name: the output's store, the input's files. Opened here and nowhere else in the jobs."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.config import TagConfig
from pipeline.source.discover import Discovered, discover
from pipeline.store.base import Store
from pipeline.store.open import open_store


def output_of(tag: TagConfig) -> Store:
    """The store below the output's folder."""
    return open_store(tag.output, tag.store)


def input_of(tag: TagConfig, marks: Collection[str] = ()) -> Discovered:
    """The files of the input, and those of the names `marks`. Raises ConfigError if there is none, StoreError."""
    return discover(tag.sources, tag.store, marks, tag.format)


def root_of(tag: TagConfig, url: str) -> Store:
    """The store of an input's root."""
    return open_store(url, tag.store)
