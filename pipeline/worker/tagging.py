"""A block of documents into rows: filter, clean, tag each text once, and find the documents on which the model fails."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from models.runtime.confidence import surer
from pipeline.cache.envelope import envelope_of
from pipeline.cache.settings import CacheConfig
from pipeline.cache.tag_cache import TagCache
from pipeline.contract import Block, DocumentSpec, RejectedDocument
from pipeline.errors import PipelineError, TaggerBrokenError
from pipeline.worker.html import Cleaned, clean, restore

if TYPE_CHECKING:
    from models.runtime.router import LanguageRouter
    from models.runtime.tagger import Tagger
    from pipeline.worker.isolated import SubprocessTagger

log = logging.getLogger("textmill")
# A text that every model must be able to read: if it fails too, the fault is not the document's.
PLAIN = "A plain sentence."
_SURROGATE = re.compile("[\ud800-\udfff]")
# What may be raised while a document is tagged and is never its fault: errors of our own tree, and what the machine lacks.
NOT_A_DOCUMENTS_FAULT = (PipelineError, OSError, MemoryError, ImportError)


Prepared = tuple[Block, list[Cleaned | None]]


class BlockTagger:
    """Turns blocks into rows of the part's schema.

    Args:
        tagger: The model.
        columns: What rows are made of.
        cache: Settings of the cache of tags; by default there is only the one in memory.
        model_digest: Digest of all models, by which a shared cache knows them.

    Attributes:
        tagger: May be changed between blocks, for one of the same model.
        cache: What keeps tags.
        schema: Columns of the rows.
    """

    def __init__(
        self, tagger: Tagger | LanguageRouter, columns: DocumentSpec, cache: CacheConfig | None = None, model_digest: str = ""
    ) -> None:
        """`model_digest`, of all models, is what a shared cache knows them by."""
        from models.runtime.router import UNDETERMINED

        self.tagger: Tagger | LanguageRouter | SubprocessTagger = tagger
        self._foreign, self._columns = tagger.foreign, columns
        self.schema = columns.schema(tagger.labels)
        langs = (*tagger.languages, UNDETERMINED)
        envelope = envelope_of(model_digest, langs, [one.engine.arithmetic for one in tagger.each], tagger.labels)
        self.cache = TagCache(cache or CacheConfig(), langs, envelope, tagger.labels)

    def prepare(self, block: Block) -> Prepared:
        """Filter a block and clean its texts.

        Args:
            block: The block as it was read.

        Returns:
            The block without what is filtered, and its texts cleaned, None for those that are as they were.
        """
        chosen = self._columns
        cleaned = [clean(text) if chosen.clean == "html" else None for text in block.texts]
        if chosen.languages == "known":
            found = self._foreign([text if one is None else one.text for text, one in zip(block.texts, cleaned, strict=True)])
            foreign = [i for i, language in enumerate(found) if language is not None]
            if foreign:
                block = _without(block, foreign, [f"language {found[i]}" for i in foreign])
                cleaned = [one for i, one in enumerate(cleaned) if found[i] is None]
        block.counts["cleaned_texts"] += sum(one is not None for one in cleaned)
        return block, cleaned

    def tag(
        self, prepared: Prepared, check: Callable[[], object] | None
    ) -> tuple[pa.Table, list[RejectedDocument], Counter[str], list[str]]:
        """Tag a block; documents on which the model fails become dead letters, their neighbours rows.

        Args:
            prepared: From `prepare`.
            check: Called often; what it raises passes through.

        Returns:
            The rows, what is left out, counts, and the file of each row.

        Raises:
            TaggerBrokenError: The model fails on any text.
            OSError: The machine lacks something; what is no document's fault passes as it is.
        """
        block, cleaned = prepared
        texts = [text if one is None else one.text for text, one in zip(block.texts, cleaned, strict=True)]
        before = self.cache.reused
        failed: dict[int, Exception] = {}
        try:
            tags = self.cache.tag(texts, lambda new: self._asked(new, check))
        except NOT_A_DOCUMENTS_FAULT:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a model raises is narrowed down to documents
            self._check_tagger(error)
            tables = []
            for first, last, found in self._halves(texts, 0, check):
                if isinstance(found, pa.Table):
                    tables.append(found)
                else:
                    failed.update(dict.fromkeys(range(first, last), found))
            tags = pa.concat_tables(tables) if tables else None
        left_out = list(block.left_out)
        for i, reason in failed.items():
            message = f"{type(reason).__name__}, on this document alone"
            id = block.columns["id"][i].as_py()
            left_out.append(RejectedDocument(block.paths[i], block.positions[i], id, "tagger_failed", message, block.raw(i)))
        counts = block.counts + Counter(reused_texts=self.cache.reused - before)
        if failed:
            block = _without(block, list(failed), None)
            cleaned = [one for i, one in enumerate(cleaned) if i not in failed]
        if tags is None or not block.texts:
            return self.schema.empty_table(), left_out, counts, []
        sure = surer(tags, self._columns.min_score) if self._columns.min_score else tags
        return self._joined(block, restore(sure, cleaned)), left_out, counts, block.paths

    def _joined(self, block: Block, tags: pa.Table) -> pa.Table:
        columns = list(block.columns.columns)
        if self._columns.keep_text:
            # One code point for one: a lone surrogate cannot be stored, and offsets must hold.
            columns.append(pa.array([_SURROGATE.sub("\ufffd", text) for text in block.texts], pa.string()))
        return pa.Table.from_arrays([*columns, *tags.columns], schema=self.schema)

    def _asked(self, texts: list[str], check: Callable[[], object] | None) -> pa.Table:
        tags = self.tagger.tag(texts, check)
        if tags.num_rows != len(texts):
            raise ValueError(f"{tags.num_rows} rows for {len(texts)} texts")
        return tags

    def _halves(
        self, texts: list[str], first: int, check: Callable[[], object] | None
    ) -> Iterator[tuple[int, int, pa.Table | Exception]]:
        """Tags of texts, in halves of halves where the model fails, down to the documents on which it fails twice."""
        if not texts:
            return
        tries = 2 if len(texts) == 1 else 1  # the first failure may have been somebody's who killed the model's process
        for left in reversed(range(tries)):
            try:
                tags = self._asked(texts, check)
            except NOT_A_DOCUMENTS_FAULT:
                raise
            except Exception as error:  # noqa: BLE001
                self._check_tagger(error)
                if len(texts) == 1 and not left:
                    log.warning("the model fails on one document: %s", type(error).__name__)
                    yield first, first + 1, error
                    return
            else:
                yield first, first + len(texts), tags
                return
        half = len(texts) // 2
        yield from self._halves(texts[:half], first, check)
        yield from self._halves(texts[half:], first + half, check)

    def _check_tagger(self, error: Exception) -> None:
        try:
            self.tagger.tag([PLAIN])
        except NOT_A_DOCUMENTS_FAULT:
            raise
        except Exception:
            log.exception("the model fails on any text")
            raise TaggerBrokenError(f"the model fails on any text ({type(error).__name__}: {error})") from error


def _without(block: Block, rows: list[int], messages: list[str] | None) -> Block:
    """The block without some of its documents; with messages they are left out as filtered."""
    gone = set(rows)
    left_out = list(block.left_out)
    for i, message in zip(rows, messages or (), strict=False):
        id = block.columns["id"][i].as_py()
        left_out.append(
            RejectedDocument(block.paths[i], block.positions[i], id, "no_model_for_language", message, block.raw(i), "filtered")
        )
    kept = np.array([i not in gone for i in range(len(block.texts))], dtype=bool)
    return Block(
        [path for i, path in enumerate(block.paths) if i not in gone],
        [text for i, text in enumerate(block.texts) if i not in gone],
        [place for i, place in enumerate(block.positions) if i not in gone],
        block.columns.filter(pa.array(kept)),
        left_out,
        block.counts,
        raws=[raw for i, raw in enumerate(block.raws) if i not in gone],
    )
