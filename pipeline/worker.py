"""The worker: splits in, published parts out. One class, used in this process and inside a Ray actor."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa

from pipeline.careful import ChildTagger
from pipeline.contract import Block, Columns, Done, LeftOut, Split
from pipeline.errors import TaggerBrokenError
from pipeline.sink.attempt import Attempt
from pipeline.source.ahead import read_ahead
from pipeline.source.read import read_fragment
from pipeline.store.local import LocalStore

if TYPE_CHECKING:
    pass

if TYPE_CHECKING:
    from models.runtime.tagger import Tagger

log = logging.getLogger("textmill")
# A text that every model must be able to read: if it fails too, the fault is not the document's.
PLAIN = "A plain sentence."
STAGES = ("read", "model", "write")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker must know of a run; small, and the same for all splits."""

    source: str
    output: str
    columns: Columns
    model: str
    engine: str
    threads: int | None
    run: str
    folder: str
    about: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """What one block came to."""

    documents: int
    tokens: int
    dead_letters: int
    filtered: int


class TagWorker:
    """Holds a loaded model; `run` makes a part of a split."""

    def __init__(self, work: Work) -> None:
        from models.runtime.tagger import load

        self._work = work
        self._source, self._output = LocalStore(Path(work.source)), LocalStore(Path(work.output))
        self._tagger: Tagger | ChildTagger = load(work.model, engine=work.engine, threads=work.threads)  # type: ignore[arg-type]

    def run(
        self,
        split: Split,
        check: Callable[[], object] | None = None,
        tell: Callable[[Step], object] | None = None,
        careful: bool = False,
    ) -> Done:
        """Read, tag and publish a split. `check` is called often, what it raises ends the work without a trace; `tell`
        hears of every block. `careful`: the model works in a process of its own, as somebody has died over this split.

        Raises InputChangedError, StoreError, TaggerBrokenError or OutputError.
        """
        if not careful:
            return self._run(split, check, tell)
        usual, child = self._tagger, ChildTagger(self._work.model, self._work.engine, self._work.threads)
        try:
            self._tagger = child
            return self._run(split, check, tell)
        finally:
            self._tagger = usual
            child.close()

    def _run(self, split: Split, check: Callable[[], object] | None, tell: Callable[[Step], object] | None) -> Done:
        work = self._work
        seconds = dict.fromkeys(STAGES, 0.0)
        attempt = Attempt(
            self._output, split, f"{work.run}-{uuid4().hex[:12]}", work.folder, work.columns.schema(), work.about
        )  # fmt: skip
        tokens = 0
        try:
            readers = [partial(read_fragment, self._source, piece, work.columns) for piece in split.fragments]
            with closing(read_ahead(readers)) as blocks:
                for block in _timed(blocks, seconds, "read"):
                    began = time.perf_counter()
                    before = self._tagger.work.tokens
                    table, left_out = self._tag(block, check)
                    seconds["model"] += time.perf_counter() - began
                    done = self._tagger.work.tokens - before
                    tokens += done
                    began = time.perf_counter()
                    attempt.add(table, left_out, block.counts)
                    seconds["write"] += time.perf_counter() - began
                    if tell is not None:
                        dead = sum(one.outcome == "dead_letter" for one in left_out)
                        tell(Step(table.num_rows, done, dead, len(left_out) - dead))
            began = time.perf_counter()
            published = attempt.commit(tokens, seconds)
            seconds["write"] += time.perf_counter() - began
        except BaseException:
            attempt.abort()
            raise
        return published

    def _tag(self, block: Block, check: Callable[[], object] | None) -> tuple[pa.Table, list[LeftOut]]:
        """The block's rows; documents on which the model fails become dead letters, their neighbours do not."""
        left_out = list(block.left_out)
        rows: list[tuple[int, int, pa.Table]] = []
        for first, last, found in self._tables(block.texts, 0, check):
            if isinstance(found, pa.Table):
                rows.append((first, last, found))
            else:
                reason = f"{type(found).__name__}: on this document alone"
                id = block.columns["id"][first].as_py()
                raw = block.texts[first].encode("utf-8", "replace")[:1000]
                left_out.append(LeftOut(block.path, block.positions[first], id, "tagger_failed", reason, raw))
        schema = self._work.columns.schema()
        tables = [self._joined(block, first, last, tags, schema) for first, last, tags in rows]
        return (pa.concat_tables(tables) if tables else schema.empty_table()), left_out

    def _joined(self, block: Block, first: int, last: int, tags: pa.Table, schema: pa.Schema) -> pa.Table:
        columns = [c.slice(first, last - first) for c in block.columns.columns]
        if self._work.columns.keep_text:
            # One code point for one: a lone surrogate cannot be stored, and offsets must hold.
            texts = [_SURROGATE.sub("\ufffd", text) for text in block.texts[first:last]]
            columns.append(pa.array(texts, pa.string()))
        return pa.Table.from_arrays([*columns, *tags.columns], schema=schema)

    def _tables(
        self, texts: list[str], first: int, check: Callable[[], object] | None
    ) -> Iterator[tuple[int, int, pa.Table | Exception]]:
        """Tags of texts, in halves of halves where the model fails, down to the documents that it fails on."""
        if not texts:
            return
        try:
            tags = self._tagger.tag(texts, check)
            if tags.num_rows != len(texts):
                raise ValueError(f"{tags.num_rows} rows for {len(texts)} texts")
        except Exception as error:  # noqa: BLE001 - whatever a model raises is narrowed down to documents
            self._check_tagger(error)
            if len(texts) == 1:
                log.warning("the model fails on one document: %s", type(error).__name__)
                yield first, first + 1, error
                return
        else:
            yield first, first + len(texts), tags
            return
        half = len(texts) // 2
        yield from self._tables(texts[:half], first, check)
        yield from self._tables(texts[half:], first + half, check)

    def _check_tagger(self, error: Exception) -> None:
        try:
            self._tagger.tag([PLAIN])
        except Exception:  # noqa: BLE001
            raise TaggerBrokenError(f"the model fails on any text ({type(error).__name__}: {error})") from error


def _timed(blocks: Iterator[Block], seconds: dict[str, float], stage: str) -> Iterator[Block]:
    """The blocks, with the time that was spent waiting for them."""
    while True:
        began = time.perf_counter()
        block = next(blocks, None)
        seconds[stage] += time.perf_counter() - began
        if block is None:
            return
        yield block
