"""The Tagger as a spaCy component: entities in `doc.ents`, sentiment in `doc._.sentiment`.

`textmill_spacy` registers it with spaCy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import textmill_spacy  # noqa: F401  (`import models.spacy_component` makes "textmill" known, too)
from models.runtime.confidence import surer
from models.runtime.labels import MIN_SCORE
from models.runtime.load import load


class TextmillComponent:
    """Sets `doc.ents`, `doc._.sentiment` (a class) and `doc._.sentiment_scores` (class -> score); both None without classes.

    An entity whose boundaries cut a token of spaCy's is widened to whole tokens; of entities that then overlap the longest stays.

    Args:
        model: Name of a model in the zoo, a model folder, or "auto", which tags each text by its language.
        threads: Threads of the engine.
        min_score: The least score of an entity that is set, from 0 to 1.

    Raises:
        ModelMissingError: There is no such model, or a file of it is absent.
        ModelDamagedError: A file does not fit its digest or the label sets of this version.
        EngineMissingError: What the engine needs is not installed.
    """

    def __init__(self, model: str, threads: int, min_score: float = MIN_SCORE) -> None:
        from spacy.tokens import Doc

        for name in ("sentiment", "sentiment_scores"):
            if not Doc.has_extension(name):
                Doc.set_extension(name, default=None)
        self._tagger, self._min_score = load(model, threads=threads), min_score

    def _rows(self, texts: list[str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = surer(self._tagger.tag(texts), self._min_score).to_pylist()
        return rows

    def _set(self, doc: Any, row: dict[str, Any]) -> Any:
        from spacy.util import filter_spans

        spans = [doc.char_span(e["start"], e["end"], label=e["label"], alignment_mode="expand") for e in row["entities"]]
        doc.ents = filter_spans([span for span in spans if span is not None])
        doc._.sentiment, doc._.sentiment_scores = row["sentiment"], row["sentiment_scores"]
        return doc

    def __call__(self, doc: Any) -> Any:
        """Tag one document, in place.

        Args:
            doc: A spaCy Doc.

        Returns:
            The document.
        """
        return self._set(doc, self._rows([doc.text])[0])

    def pipe(self, stream: Any, batch_size: int = 256) -> Iterator[Any]:
        """Tag documents in batches; what they had as `doc.ents` is replaced.

        Args:
            stream: Documents of spaCy's, any iterable.
            batch_size: Documents that are tagged at once.

        Yields:
            The same documents in their order.
        """
        from spacy.util import minibatch

        for docs in minibatch(stream, batch_size):
            yield from map(self._set, docs, self._rows([doc.text for doc in docs]))
