"""The parts of an output that are in place, as they are at one moment, and the columns that they have."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract import LEFT_OUT, tags_schema
from pipeline.errors import OutputError
from pipeline.sink.layout import DEAD_LETTERS, FILTERED, PLANS, TAGS
from pipeline.store.base import Entry, Store

SUFFIX = ".parquet"


@dataclass(frozen=True, slots=True)
class PartsInPlace:
    """The files of an output that readers may look at.

    What is staged, being made beside the current generation, or left of an older one lies in other folders, or bears no name of a
    part in place.

    Attributes:
        tags: The parts.
        dead_letters: What was left out of them because it could not be tagged.
        filtered: What was left out of them because it was not meant to be tagged.
        columns: Names of all columns of the parts, in their order.
        differ: Whether the columns of some parts are not those of the others.
    """

    tags: tuple[Entry, ...]
    dead_letters: tuple[Entry, ...]
    filtered: tuple[Entry, ...]
    columns: tuple[str, ...]
    differ: bool

    @property
    def files(self) -> tuple[Entry, ...]:
        """All of these files."""
        return (*self.tags, *self.dead_letters, *self.filtered)


# What there is where no part is yet.
NO_TAGS, NOT_LEFT_OUT = tags_schema(()), LEFT_OUT


def parts_in_place(store: Store) -> PartsInPlace:
    """List the parts of an output that are in place.

    Args:
        store: The output.

    Returns:
        Its files; no parts if a run has planned the output and published none.

    Raises:
        OutputError: This is no output of `textmill tag`, or a file among the tags is no Parquet.
        StoreError: The store fails.
    """
    tags = _parquet(store, TAGS)
    if not tags and next(iter(store.list(PLANS)), None) is None:
        raise OutputError(f"{store.url}: no {TAGS}/ in it; is it the output folder of `textmill tag`?")
    names = {_name(entry) for entry in tags}
    dead, filtered = (
        tuple(entry for entry in _parquet(store, kind) if _name(entry) in names) for kind in (DEAD_LETTERS, FILTERED)
    )
    # All parts of a plan are made by the same settings, with the same columns.
    first_of_plan = {_name(entry).rpartition("-")[0]: entry for entry in reversed(tags)}
    schemas = [_schema(store, entry) for entry in reversed(first_of_plan.values())] or [NO_TAGS]
    columns = tuple(dict.fromkeys(name for schema in schemas for name in schema.names))
    return PartsInPlace(tuple(tags), dead, filtered, columns, any(not schema.equals(schemas[0]) for schema in schemas))


def _parquet(store: Store, folder: str) -> list[Entry]:
    return [entry for entry in store.list(folder) if entry.path.endswith(SUFFIX)]


def _name(entry: Entry) -> str:
    return entry.path.rsplit("/", 1)[-1].removesuffix(SUFFIX)


def _schema(store: Store, entry: Entry) -> pa.Schema:
    try:
        with store.open_read(entry.path) as stream:
            return pq.read_schema(stream)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise OutputError(f"{store.url}/{entry.path} is no part of a run ({type(error).__name__}: {error})") from error
