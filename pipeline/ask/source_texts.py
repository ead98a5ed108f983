"""The texts of a part that were not kept: read again from the input, and given to the rows that they were tagged for.

The plan says which pieces of which files a part is made of, with their sizes and times. They are read as they were for the model,
less what was left out. A row's text is the document with its id, source, time and file; of several with the same the first row
has the first, as rows are sorted without changing the order of equal ones. Then each text must be what its tags say of it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import closing
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract import DocumentSpec, Split
from pipeline.errors import DeniedError, InputChangedError, LostDocumentsError, OutputError, UnreadableInputError
from pipeline.run.planning import columns_of
from pipeline.sink.layout import OUTCOMES, TAGS
from pipeline.sink.origins import decode, paths_of
from pipeline.sink.plan_log import Plan
from pipeline.sink.plans import PlanLog
from pipeline.source.archives import outer
from pipeline.source.cursors import Cursors
from pipeline.source.prefetch import read_ahead
from pipeline.source.read import read_fragment
from pipeline.source.read_counts import ReadCounts
from pipeline.store.base import Store
from pipeline.store.open import open_store
from pipeline.store.parquet import batches, parquet_file, read_table
from pipeline.store.settings import StoreConfig

REMEDY = "put the file back as it was, or give it to `textmill tag --keep-text --retag-files`, then make the index again"
_KEYS = ["id", "source", "created_at", "entities", "words"]


class SourceTexts:
    """Reads the texts of parts again.

    Args:
        store: The output.
        config: How the input is reached, if that is on another machine.
        check: Called often; what it raises ends the reading.
    """

    def __init__(self, store: Store, config: StoreConfig | None, check: Callable[[], object]) -> None:
        self._store, self._config, self._check = store, config, check
        self._log: PlanLog | None = None
        self._why = ""
        self._plan = lru_cache(2)(self._read_plan)

    def of(self, path: str, stream: Any) -> list[str]:
        """Read the texts of a part.

        Args:
            path: Of the part.
            stream: The part.

        Returns:
            The text of each row.

        Raises:
            InputChangedError: A file has changed since it was tagged, or is gone; says which, where, and what to do.
            UnreadableInputError: A file may not be looked at.
            OutputError: No plan names the part.
            StoreError: The input cannot be read for now.
        """
        plan, split = self._split(path)
        table = read_table(stream, _KEYS)
        stream.seek(0)
        origins = decode(pq.read_metadata(stream).metadata or {}, split, table.num_rows)
        columns = columns_of(plan)
        texts: dict[Hashable, deque[tuple[str, str, int]]] = defaultdict(deque)
        try:
            for key, text, file, position in self._documents(plan, split, columns, origins, path):
                texts[key].append((text, file, position))
        except InputChangedError as error:
            what = f"{error.message}; {path} was made of it without --keep-text; {REMEDY}"
            raise type(error)(error.path, what) from error
        except DeniedError as error:
            raise UnreadableInputError(error.path, f"{error.message}; have its permissions changed, or {REMEDY}") from error
        except LostDocumentsError as error:
            raise InputChangedError(path, f"{error}; {REMEDY}") from error
        found = [self._text(texts, key, row, columns, path, split) for key, row in _rows(table, origins)]
        if left := next((waiting[0] for waiting in texts.values() if waiting), None):
            raise InputChangedError(left[1], f"at {left[2]:,} is a document of which {path} has no tags; {REMEDY}")
        return found

    def _split(self, path: str) -> tuple[Plan, Split]:
        name = path.rsplit("/", 1)[-1].removesuffix(".parquet")
        try:
            _, plan, number = name.split("-")
            found = self._plan(int(plan))
            return found, next(split for split in found.splits if split.number == int(number))
        except (ValueError, KeyError, StopIteration) as error:
            raise OutputError(f"{self._store.url}/{path} holds no texts, and no plan says what it was made of") from error

    def _read_plan(self, number: int) -> Plan:
        if self._log is None or all(head.number != number for head in self._log.heads):
            self._log = PlanLog(self._store)
            self._log.look()
        return self._log.plan(number)

    def _documents(
        self, plan: Plan, split: Split, columns: DocumentSpec, origins: np.ndarray | None, part: str
    ) -> Iterator[tuple[Hashable, str, str, int]]:
        """Key, text, file and place of the documents from which rows may have come."""
        source, left_out, cursors = open_store(plan.root, self._config), self._left_out(part), Cursors()
        places = {path: place for place, path in enumerate(paths_of(split))}
        held = range(len(places)) if origins is None else set(origins.tolist())
        met = {piece: ReadCounts() for piece in split.fragments if places[piece.path] in held}
        readers = [partial(read_fragment, source, piece, columns, one, cursors=cursors) for piece, one in met.items()]
        with closing(read_ahead(readers, source.read_concurrency, self._check)) as blocks:
            for block in blocks:
                keys = block.columns.select(_KEYS[:3]).to_pylist()
                for key, text, path, position in zip(keys, block.texts, block.paths, block.positions, strict=True):
                    if (path, position) not in left_out:
                        place = places.get(path, places.get(outer(path), -1))
                        yield _key(key, -1 if origins is None else place), text, path, position
        self._why = next((f" ({one.why})" for one in met.values() if one.why), "")

    def _left_out(self, part: str) -> set[tuple[str, int]]:
        found: set[tuple[str, int]] = set()
        for kind in OUTCOMES.values():
            path = part.replace(f"{TAGS}/", f"{kind}/", 1)
            if self._store.stat(path) is not None:
                with self._store.open_read(path) as stream:
                    for batch in batches(parquet_file(stream), ["path", "position"]):
                        found.update(zip(*(column.to_pylist() for column in batch.columns), strict=True))
        return found

    def _text(
        self, texts: dict[Hashable, deque[tuple[str, str, int]]], key: Hashable, row: dict[str, Any], columns: DocumentSpec,
        part: str, split: Split,
    ) -> str:  # fmt: skip
        if not texts.get(key):
            files = paths_of(split)
            file = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
            raise InputChangedError(file, f"the document {row['id']!r} of {part} is no longer in it{self._why}; {REMEDY}")
        text, path, position = texts[key].popleft()
        if not _fits(text, row, columns):
            raise InputChangedError(path, f"at {position:,} is not the text of {row['id']!r} that {part} has tags of; {REMEDY}")
        return text


def _key(row: dict[str, Any], place: int) -> Hashable:
    return row["id"], row["source"], row["created_at"], place


def _rows(table: pa.Table, origins: np.ndarray | None) -> Iterator[tuple[Hashable, dict[str, Any]]]:
    at = 0
    for batch in table.to_batches(1000):
        for row in batch.to_pylist():
            yield _key(row, -1 if origins is None else int(origins[at])), row
            at += 1


def _fits(text: str, row: dict[str, Any], columns: DocumentSpec) -> bool:
    """Whether tags may be of a text: their extents lie in it, no word begins or ends with a space, entities stand where they say.

    What was cleaned of markup has entities whose texts may lack some of what stands between their ends.
    """
    for word in row["words"]:
        if word["end"] > len(text) or text[word["start"]].isspace() or text[word["end"] - 1].isspace():
            return False
    return all(
        one["end"] <= len(text) and (columns.clean != "no" or one["text"] == text[one["start"] : one["end"]])
        for one in row["entities"]
    )
