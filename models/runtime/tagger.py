"""The Tagger: texts in, one Arrow table out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.runtime.batches import RaggedBatch, Windows, make_batches, make_windows, owned
from models.runtime.decode import check, decode, softmax
from models.runtime.engines import Engine, Logits
from models.runtime.labels import LABELS, LabelSet
from models.runtime.languages import identify
from models.runtime.schema import schema_of
from models.runtime.tokenizer import Pieces, PieceTokenizer

# Texts are tagged in groups of at most so many characters, which bounds memory and gives the sort enough to choose from.
GROUP_CHARACTERS = 1 << 18
NEUTRAL = "neutral"
SENTENCE_ENDS = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f", "\uff1b")


def as_texts(texts: Sequence[str]) -> Sequence[str]:
    """Return texts as a sequence of which every item is known to be a string.

    Args:
        texts: A sequence of strings, given back as it is, or an Arrow array of them.

    Raises:
        TypeError: This is no sequence (a single string is none either), or an item is no string; the message says which.
    """
    if isinstance(texts, (pa.Array, pa.ChunkedArray)):
        texts = texts.to_pylist()
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Sequence):
        raise TypeError(f"texts is a {type(texts).__name__}, not a sequence of strings; of one text write tag([text])")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{i}] is a {type(text).__name__}, not a string")
    return texts


@dataclass(slots=True)
class TaggerStats:
    """How much a tagger has processed since it was made.

    Attributes:
        texts: Texts tagged.
        tokens: Tokens of these texts, without specials.
        sequence_tokens: Tokens of all windows, specials and overlap included.
        computed_tokens: Tokens of all batches with the padding of a padded layout.
    """

    texts: int = 0
    tokens: int = 0
    sequence_tokens: int = 0
    computed_tokens: int = 0

    @property
    def padding(self) -> float:
        """Share of the computed tokens that is padding, from 0 to 1."""
        return 1.0 - self.sequence_tokens / self.computed_tokens if self.computed_tokens else 0.0


class Tagger:
    """Tags texts with entities, sentiment, words and parts of speech in one forward pass of the model.

    Only one thread may use a tagger at a time. The tags of a text do not depend on the other texts of the call; whether the last
    bits of the scores do depends on the engine, see `Engine.arithmetic`.

    Args:
        tokenizer: The model's tokenizer.
        engine: Computes the logits.
        lang: Language that the model reads, ISO 639-1.
        window: Tokens of the longest window, specials included.
        budget_tokens: Tokens that a batch may have when padded to its longest sequence.
        transitions: Transition weights between entity tags, if the model has them, float32, shape (T + 1, T); see
            `viterbi_paths`.
        calibration: What makes probabilities of the entities' scores, see `models.runtime.confidence.calibrated`.
        sentiment_bias: What is added to the logarithm of the probability of each class; none is nothing.
        labels: What the model tells apart.

    Attributes:
        work: What this tagger has processed.
    """

    def __init__(
        self,
        tokenizer: PieceTokenizer,
        engine: Engine,
        lang: str,
        window: int,
        budget_tokens: int = 2048,
        transitions: npt.NDArray[np.float32] | None = None,
        calibration: Sequence[float] = (),
        sentiment_bias: Sequence[float] = (),
        labels: LabelSet = LABELS,
    ) -> None:
        self.tokenizer, self.engine, self.lang, self.window = tokenizer, engine, lang, window
        self.budget_tokens, self.transitions, self.calibration = budget_tokens, transitions, tuple(calibration)
        self.sentiment_bias, self.labels = tuple(sentiment_bias), labels
        self.work = TaggerStats()
        self._breaks = np.zeros(tokenizer.vocab_size, dtype=bool)
        self._of_nothing = labels.sentiments.index(NEUTRAL) if NEUTRAL in labels.sentiments else slice(None)
        self._breaks[[i for i in map(tokenizer.id_of, SENTENCE_ENDS) if i is not None]] = True

    @property
    def each(self) -> tuple[Tagger, ...]:
        """This tagger alone, as `LanguageRouter.each` gives its taggers."""
        return (self,)

    @property
    def languages(self) -> tuple[str, ...]:
        """The language that the model reads, ISO 639-1, as a tuple of one."""
        return (self.lang,)

    def foreign(self, texts: Sequence[str]) -> list[str | None]:
        """Find the texts that are not in the model's language.

        Args:
            texts: Texts in any languages.

        Returns:
            For each text its language, see `languages.identify`; None if that is the model's, or the text has no letters.
        """
        return [None if lang in (None, self.lang) else lang for lang in identify(texts)]

    def tag(self, texts: Sequence[str], check: Callable[[], object] | None = None) -> pa.Table:
        """Tag texts of any length; long ones are tagged window by window.

        A text without tokens (empty, or only white space and control characters) gets no entities and no words, and is neutral;
        where the model's classes have no neutral one, it is of each with the same probability.

        Args:
            texts: A sequence of strings, or an Arrow array of them.
            check: Called after every batch; what it raises ends the call.

        Returns:
            One row for each text, in their order, with the columns of `models.TAGS`, or those of own classes, see `schema_of`.

        Raises:
            TypeError: `texts` is no sequence of strings.
            BadOutputError: The engine gave scores that are NaN or infinite.
        """
        tables = list(self._tables(as_texts(texts), check))
        return pa.concat_tables(tables) if tables else schema_of(self.labels).empty_table()

    def encode(self, texts: Sequence[str]) -> tuple[Pieces, Windows, Iterator[RaggedBatch]]:
        """Tokenize texts and cut them into windows and batches, as `tag` does before it asks the engine.

        Args:
            texts: Texts that are batched together.

        Returns:
            The pieces of all texts, the windows over them, and the batches of these windows, made as they are asked for.
        """
        pieces = self.tokenizer.encode(texts)
        windows = make_windows(pieces, self._breaks[pieces.ids], self.window - 2)
        batches = make_batches(pieces, windows, self.tokenizer.cls_id, self.tokenizer.sep_id, self.budget_tokens)
        return pieces, windows, batches

    def _tables(self, texts: Sequence[str], check: Callable[[], object] | None) -> Iterator[pa.Table]:
        """The table of each group; the batches of all groups go to the engine in one stream, so that it never waits."""
        begun: deque[_Group] = deque()
        for scores in self.engine.infer(self._stream(texts, begun)):
            if check is not None:
                check()
            while begun[0].left == 0:
                yield self._finish(begun.popleft())
            group = next(group for group in begun if id(scores.batch) in group.waiting)
            group.take(scores)
        while begun:
            yield self._finish(begun.popleft())

    def _stream(self, texts: Sequence[str], begun: deque[_Group]) -> Iterator[RaggedBatch]:
        """The batches of all groups; the next group is tokenized in a thread while the engine computes this one."""
        groups = _groups(texts)
        with ThreadPoolExecutor(1, "textmill-tokenizer") as pool:
            prepared = pool.submit(self._prepare, next(groups, None))
            while (group := prepared.result()) is not None:
                prepared = pool.submit(self._prepare, next(groups, None))
                begun.append(group)
                for batch in group.batches:
                    self.work.sequence_tokens += len(batch.ids)
                    self.work.computed_tokens += batch.longest * len(batch.windows)
                    yield batch

    def _prepare(self, texts: Sequence[str] | None) -> _Group | None:
        if texts is None:
            return None
        pieces, windows, batches = self.encode(texts)
        return _Group(texts, pieces, windows, list(batches), self.labels)

    def _finish(self, group: _Group) -> pa.Table:
        sums = group.sentiment
        if self.sentiment_bias:
            sums *= np.exp(self.sentiment_bias)
        sums[np.diff(group.pieces.offsets) == 0, self._of_nothing] = 1.0
        sentiment = (sums / sums.sum(axis=1, keepdims=True)).astype(np.float32)
        self.work.texts += len(group.texts)
        self.work.tokens += len(group.pieces.ids)
        return decode(
            group.texts, group.pieces, group.tokens, sentiment, self.lang, self.transitions, self.calibration, self.labels
        )


class _Group:
    """Texts that are sorted and batched together, and what is known of them so far."""

    def __init__(
        self, texts: Sequence[str], pieces: Pieces, windows: Windows, batches: list[RaggedBatch], labels: LabelSet
    ) -> None:
        self.texts, self.pieces, self.windows, self.batches = texts, pieces, windows, batches
        self.waiting = {id(batch) for batch in batches}
        self.tokens = np.zeros((len(pieces.ids), labels.token_outputs), dtype=np.float32)
        self.sentiment = np.zeros((len(texts), labels.text_outputs), dtype=np.float64)

    @property
    def left(self) -> int:
        """Batches that have no scores yet."""
        return len(self.waiting)

    def take(self, scores: Logits) -> None:
        """Lay the scores of one batch on its pieces; sentiment is the mean of the windows, weighted by their pieces."""
        token, piece = owned(scores.batch, self.windows)
        self.tokens[piece] = scores.tokens[token]
        run = scores.batch.windows
        weight = (self.windows.own_last - self.windows.own_first)[run][:, None]
        np.add.at(self.sentiment, self.windows.doc[run], weight * softmax(check(scores.sentiment)))
        self.waiting.remove(id(scores.batch))


def _groups(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start, size = 0, 0
    for i, text in enumerate(texts):
        if i > start and size + len(text) > GROUP_CHARACTERS:
            yield texts[start:i]
            start, size = i, 0
        size += len(text) + 16
    if start < len(texts):
        yield texts[start:]
