"""Texts that find their own language: one Tagger a language, each text tagged by the one that reads it."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from models.errors import ModelMissingError
from models.runtime.labels import LabelSet
from models.runtime.languages import identify
from models.runtime.schema import TAGS, schema_of
from models.runtime.tagger import Tagger, TaggerStats, as_texts

UNDETERMINED = "und"  # ISO 639-2
# Which language's model comes nearest to a language that has none; for all others the first one.
NEAREST = {"ja": "zh"}


def joined_labels(sets: Sequence[LabelSet]) -> LabelSet:
    """Return what several models tell apart together: the types of all, and their classes, which must be the same.

    Args:
        sets: Of each model.

    Raises:
        ModelMissingError: Their classes of texts differ: one column cannot hold both.
    """
    classes = list(dict.fromkeys(labels.sentiments for labels in sets))
    if len(classes) > 1:
        named = " and ".join(f"({', '.join(names) or 'none'})" for names in classes)
        raise ModelMissingError(f"models with other classes of texts, {named}, cannot tag into one output; take one model a run")
    types = dict.fromkeys(kind for labels in sets for kind in labels.entities)
    return LabelSet(tuple(types), classes[0], any(labels.words for labels in sets))


class LanguageRouter:
    """Several taggers with the interface of one: each text is tagged by the model of its language; all models stay loaded.

    The column `lang` holds the language of the model that reads the text. For a text that no model reads, or that has no letters,
    it holds `und`; the nearest model (else the first) tags it nevertheless.

    Args:
        taggers: One for each language; the first is the fallback.

    Attributes:
        lang: auto.
        taggers: The taggers by language.
        labels: What the models tell apart together.

    Raises:
        ModelMissingError: Two of the taggers read the same language, or have other classes of texts than one another.
    """

    lang = "auto"

    def __init__(self, taggers: Sequence[Tagger]) -> None:
        self.taggers = {tagger.lang: tagger for tagger in taggers}
        if len(self.taggers) < len(taggers):
            raise ModelMissingError(f"two models for one language: {', '.join(tagger.lang for tagger in taggers)}")
        self.labels = joined_labels([tagger.labels for tagger in taggers])
        # The languages of the texts of the last two calls of `foreign`: one block is tagged while the next is looked at.
        self._known: tuple[dict[str, str | None], ...] = ()

    @property
    def each(self) -> tuple[Tagger, ...]:
        """The taggers behind this one, in order, one for each language."""
        return tuple(self.taggers.values())

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages that the models read, ISO 639-1."""
        return tuple(self.taggers)

    @property
    def work(self) -> TaggerStats:
        """The work of all taggers, added up."""
        parts = [tagger.work for tagger in self.taggers.values()]
        names = ("texts", "tokens", "sequence_tokens", "computed_tokens")
        return TaggerStats(*(sum(getattr(part, name) for part in parts) for name in names))

    def foreign(self, texts: Sequence[str]) -> list[str | None]:
        """Find the texts that no model here reads; `tag` then need not identify the texts of the last two calls again.

        Args:
            texts: Texts in any languages.

        Returns:
            For each text its language, ISO 639-1 or `und`, if no model reads it; None if one does, or the text has no letters.
        """
        found = identify(texts)
        self._known = (dict(zip(texts, found, strict=True)), *self._known[:1])
        return [None if lang is None or lang in self.taggers else lang for lang in found]

    def tag(self, texts: Sequence[str], check: Callable[[], object] | None = None) -> pa.Table:
        """Tag texts, each by the model of its language; each model gets all of its texts at once, so batches are full.

        Args:
            texts: A sequence of strings, or an Arrow array of them.
            check: Called after every batch; what it raises ends the call.

        Returns:
            One row for each text, in their order, with the columns of `models.TAGS`, or of the models' own classes.

        Raises:
            TypeError: `texts` is no sequence of strings.
            BadOutputError: An engine gave scores that are NaN or infinite.
        """
        texts = as_texts(texts)
        found = self._identified(texts)
        if not found:
            return schema_of(self.labels).empty_table()
        readers = [self._reader(lang) for lang in found]
        tables, order = [], []
        for lang, tagger in self.taggers.items():
            mine = [i for i, reader in enumerate(readers) if reader == lang]
            if mine:
                tables.append(tagger.tag([texts[i] for i in mine], check))
                order += mine
        table = pa.concat_tables(tables).take(pa.array(np.argsort(order)))
        marked = pa.array([lang if lang in self.taggers else UNDETERMINED for lang in found], TAGS.field("lang").type)
        return table.set_column(TAGS.get_field_index("lang"), TAGS.field("lang"), marked)

    def _identified(self, texts: Sequence[str]) -> list[str | None]:
        """The languages of texts; those that `foreign` was asked about are not identified again."""
        known = ChainMap(*self._known)
        new = list(dict.fromkeys(text for text in texts if text not in known))
        more = dict(zip(new, identify(new), strict=True))
        return [more[text] if text in more else known[text] for text in texts]

    def _reader(self, lang: str | None) -> str:
        near = NEAREST.get(lang or "", lang)
        return near if near in self.taggers else next(iter(self.taggers))
