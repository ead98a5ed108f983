"""The Reader: questions and passages in, answers out, each a span of its passage with its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.errors import ModelDamagedError
from models.runtime.batches import RaggedBatch, few_shapes
from models.runtime.engines import Engine, default_threads
from models.runtime.load import EngineName, make_engine
from models.runtime.package import READER, open_package
from models.runtime.pairs import PairWindows, may_begin, may_end, pair_windows
from models.runtime.spans import best_spans, log_sums
from models.runtime.tagger import as_texts
from models.runtime.tokenizer import PieceTokenizer

# Pieces of the longest answer; Chinese ones are often clauses, and a piece is a character there.
LONGEST = {"en": 40, "zh": 120}
BUDGET_TOKENS = 2048
# Weights of the margins, and the constant, of the logistic function that makes a probability of them; for models that say none.
UNCALIBRATED = (0.5, 0.5, 0.0, 0.0, 0.0)
# A span that has no other beside it is so far above it.
MOST_ABOVE = 20.0
Float64 = npt.NDArray[np.float64]
Margins = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a passage says to a question.

    Attributes:
        text: The span, as it stands in the passage; "" where the passage holds no piece.
        start: Where it begins, in code points of the passage.
        end: Where it ends.
        score: Probability that the passage answers the question with this span.
        logit: The score before the logistic function: higher is surer, also where scores round to 1.
        margins: What the score is made of, before calibration: how far the span is above no span, "answerable" above "not", and
            the span above the best that does not overlap it (logits); and the log probability of its two ends.
    """

    text: str
    start: int
    end: int
    score: float
    logit: float
    margins: Margins


class Reader:
    """Reads question and passage together and points at the answer.

    One Reader serves one thread at a time. Its answer to a pair does not depend on the pairs beside it.

    Args:
        tokenizer: The model's tokenizer.
        engine: Computes the logits.
        lang: Language that the model reads (ISO 639-1).
        window: Tokens of the longest sequence, specials included.
        calibration: Weights of the margins and a constant, see UNCALIBRATED.
        budget_tokens: Tokens of a batch, padding included.
        digest: Names the model with everything that it holds, "" for none.
    """

    def __init__(
        self,
        tokenizer: PieceTokenizer,
        engine: Engine,
        lang: str,
        window: int,
        calibration: Sequence[float] = UNCALIBRATED,
        budget_tokens: int = BUDGET_TOKENS,
        digest: str = "",
    ) -> None:
        self.tokenizer, self.engine, self.lang, self.window = tokenizer, engine, lang, window
        self.calibration = tuple(calibration) or UNCALIBRATED
        self.budget_tokens, self.digest = budget_tokens, digest

    def read(self, questions: Sequence[str], passages: Sequence[str], check: Callable[[], object] | None = None) -> list[Answer]:
        """Find the best span of each passage for its question, and how sure it is that it answers it.

        Args:
            questions: The questions; of a long one the first QUESTION_PIECES pieces are read.
            passages: What each is asked of, as many.
            check: Called after every batch; what it raises ends the call.

        Returns:
            An answer for each pair, in their order; whether it is one, the score says.

        Raises:
            TypeError: Something that is no sequence of strings.
            ValueError: Not as many passages as questions.
        """
        questions, passages = as_texts(questions), as_texts(passages)
        if len(questions) != len(passages):
            raise ValueError(f"{len(questions)} questions for {len(passages)} passages")
        if not questions:
            return []
        windows = pair_windows(questions, passages, self.tokenizer, self.window)
        margins = self.margins(windows, check)
        return [self._answer(passage, *best) for passage, best in zip(passages, _best(windows, margins), strict=True)]

    def prepare(self, tokens: int, passages: int) -> None:
        """Compute once in each of the few shapes of batches, so that no question waits while the engine compiles for a new one.

        Args:
            tokens: Of the largest batch that is expected, padding included.
            passages: So many are read together however long they are.
        """
        for rows, width in few_shapes(tokens, passages, self.window):
            nothing = np.zeros(rows * width, np.int32)
            batch = RaggedBatch(nothing, nothing.astype(np.uint8), np.arange(rows + 1) * width, np.arange(rows))
            for _ in self.engine.infer([batch] * self.engine.streams):  # each stream compiles for itself
                pass

    def margins(self, windows: PairWindows, check: Callable[[], object] | None = None) -> Float64:
        """Find the best span of each window.

        Args:
            windows: Pairs in windows.
            check: Called after every batch.

        Returns:
            float64, shape (windows, 6): first and last piece of the span in its passage (-1 where there is none), and its
            margins, see `Answer`.
        """
        begins, ends = may_begin(windows.passages), may_end(windows.passages)
        found = np.zeros((len(windows.pair), 6))
        longest = LONGEST.get(self.lang, LONGEST["en"])
        for logits in self.engine.infer(windows.batches(self.budget_tokens, self.engine.streams)):
            if check is not None:
                check()
            which, offsets = logits.batch.windows, logits.batch.offsets
            first, count, base = windows.first[which], windows.count[which], windows.passages.offsets[windows.pair[which]]
            # A passage stands at the end of its sequence, before the last token.
            columns = np.arange(count.max())
            inside = columns < count[:, None]
            token = np.where(inside, (offsets[1:] - 1 - count)[:, None] + columns, 0)
            piece = np.where(inside, (base + first)[:, None] + columns, 0)
            tokens = logits.tokens.astype(np.float64)
            mine, no_span = tokens[token], tokens[offsets[:-1]]
            spans = best_spans(mine, begins[piece] & inside, ends[piece] & inside, longest)
            all_of = np.concatenate([no_span[:, None], mine], axis=1), np.pad(inside, ((0, 0), (1, 0)), constant_values=True)
            no, yes = logits.sentiment.astype(np.float64).T
            at = np.where(count > 0, first + np.stack([spans.first, spans.last]), -1)
            above = np.minimum(spans.best - np.where(np.isfinite(spans.best), spans.other, 0.0), MOST_ABOVE)
            log_p = spans.best - log_sums(*all_of).sum(axis=1)
            found[which] = np.stack([*at, spans.best - no_span.sum(axis=1), yes - no, above, log_p], axis=1)
        return found

    def _answer(self, passage: str, first: int, last: int, margins: Margins) -> Answer:
        *weights, constant = self.calibration
        logit = sum(weight * margin for weight, margin in zip(weights, margins, strict=True)) + constant
        text = passage[first:last]
        score = 1.0 / (1.0 + np.exp(-logit)) if text else 0.0
        return Answer(text, first, last, float(score), float(logit), margins)


def _best(windows: PairWindows, margins: Float64) -> list[tuple[int, int, Margins]]:
    """Of each pair the span of its surest window, in code points of the passage."""
    found: list[tuple[int, int, Margins]] = []
    passages = windows.passages
    bounds = np.searchsorted(windows.pair, np.arange(len(passages) + 1))
    for pair in range(len(passages)):
        mine = margins[bounds[pair] : bounds[pair + 1]]
        first, last, span, answerable, above, log_p = mine[int(np.argmax(mine[:, 2] + mine[:, 3]))].tolist()
        if first < 0 or not np.isfinite(span):
            found.append((0, 0, (-1e9, answerable, 0.0, 0.0)))
            continue
        base = int(passages.offsets[pair])
        start, end = int(passages.starts[base + int(first)]), int(passages.ends[base + int(last)])
        found.append((start, end, (span, answerable, above, log_p)))
    return found


def load_reader(model: str | Path = "qa-en", engine: EngineName = "auto", threads: int | None = None) -> Reader:
    """Load a reader of the zoo by its name, or any reader's folder.

    Args:
        model: Name or folder.
        engine: See `models.load`.
        threads: Threads; by default the CPUs that this process may use.

    Returns:
        The reader.

    Raises:
        ModelMissingError: There is no such reader.
        ModelDamagedError: A file of it does not fit, or its scores are of another version.
        EngineMissingError: The engine is not installed.
    """
    package = open_package(model, READER)
    if len(package.calibration) not in (0, len(UNCALIBRATED)):
        raise ModelDamagedError(
            f"{package.folder}: {len(package.calibration)} weights of its score; make it again with this version"
        )
    chosen = make_engine(package, engine, threads or default_threads(), few_shapes=True)
    tokenizer = PieceTokenizer(package.tokenizer_json(), package.folds)
    return Reader(tokenizer, chosen, package.lang, package.window, package.calibration, digest=package.digest)
