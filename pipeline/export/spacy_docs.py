"""Documents as spaCy's DocBins: tokens, parts of speech, entities, and scores of classes as `doc.cats`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from pipeline.export.tokens import UNKNOWN, RunCounts, runs_of, tokens_of

SUFFIX = ".spacy"
# A DocBin is in memory as a whole, some 100 bytes a token and twice that when it is written.
MOST_TOKENS = 10_000_000


class SpacyFiles:
    """One file, or a folder of files, of which none has many more than `MOST_TOKENS` tokens. spaCy reads a folder as a corpus.

    `doc.user_data` holds id, source, created_at and lang.

    Args:
        path: The file; or the folder, which is made.
        folder: Whether it is a folder: then each part of the output is a file of its name, or several.
        counts: Added to.

    Raises:
        ModuleNotFoundError: spaCy is not installed.
    """

    def __init__(self, path: Path, folder: bool, counts: RunCounts) -> None:
        import spacy  # noqa: F401  (said before anything is read)

        self._path, self._folder, self._counts = path, folder, counts
        self._name = ""
        if folder:
            path.mkdir()
        self._begin()

    def _begin(self) -> None:
        from spacy.tokens import DocBin
        from spacy.vocab import Vocab

        self._docs, self._vocab = DocBin(attrs=["ENT_IOB", "ENT_TYPE", "POS"], store_user_data=True), Vocab()
        self._tokens = 0

    def add(self, rows: Sequence[Sequence[Any]], part: str) -> None:
        """Add documents.

        Args:
            rows: Id, text, entities, words, source, created_at, lang and sentiment_scores of each.
            part: Name of the part that they are of.

        Raises:
            ConfigError: They are too many for a single file.
        """
        if self._folder and part != self._name and len(self._docs):
            self._write()
        self._name = part
        for row in rows:
            doc = self._doc(*row)
            self._docs.add(doc)
            self._tokens += len(doc)
            if self._tokens >= MOST_TOKENS:
                if not self._folder:
                    raise ConfigError(
                        f"one {SUFFIX} file holds {MOST_TOKENS:,} tokens at most, as spaCy holds it in memory; name a folder "
                        f"without {SUFFIX} at its end: spaCy reads it as one corpus"
                    )
                self._write()

    def _doc(
        self, name: str, text: str, entities: Sequence[Mapping[str, Any]], words: Sequence[Mapping[str, Any]], *more: Any
    ) -> Any:
        from spacy.parts_of_speech import IDS
        from spacy.tokens import Doc, Span

        source, created_at, lang, scores = more
        tokens = tokens_of(text, words)
        texts: list[str] = []
        spaces: list[bool] = []
        pos: list[str] = []
        places: list[int] = []
        at = 0
        for token in [*tokens, None]:
            gap = text[at : token.start if token else len(text)]
            if gap and texts and gap[0] == " ":
                spaces[-1], gap = True, gap[1:]
            if gap:  # more than one space, or another one, is a token of its own
                texts.append(gap)
                spaces.append(False)
                pos.append("SPACE")
            if token:
                places.append(len(texts))
                texts.append(text[token.start : token.end])
                spaces.append(False)
                pos.append(token.pos if token.pos in IDS else UNKNOWN)
                at = token.end
        doc = Doc(self._vocab, words=texts, spaces=spaces, pos=pos)
        runs = runs_of(tokens, entities, self._counts)
        doc.set_ents([Span(doc, places[run.first], places[run.last - 1] + 1, run.label) for run in runs])
        doc.cats = {key: value for key, value in (scores or {}).items() if value is not None}
        doc.user_data.update(id=name, source=source, created_at=created_at, lang=lang)
        return doc

    def _write(self) -> None:
        path = self._path
        if self._folder:
            path, number = self._path / f"{self._name}{SUFFIX}", 1
            while path.exists():
                number += 1
                path = self._path / f"{self._name}-{number}{SUFFIX}"
        with path.open("xb") as stream:
            stream.write(self._docs.to_bytes())
            stream.flush()
            os.fsync(stream.fileno())
        self._begin()

    def finish(self) -> None:
        """Write what has not been written."""
        if not self._folder or len(self._docs):
            self._write()

    def close(self) -> None:
        """Nothing is open."""
