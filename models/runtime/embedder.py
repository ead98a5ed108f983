"""The Embedder: texts in, unit vectors out, near each other where the texts mean the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from models.runtime.batches import Windows, make_batches
from models.runtime.engines import Engine, Float32, default_threads
from models.runtime.load import EngineName, make_engine
from models.runtime.package import EMBEDDER, open_package
from models.runtime.tagger import as_texts
from models.runtime.tokenizer import PieceTokenizer

BUDGET_TOKENS = 2048


class Embedder:
    """Makes vectors of texts: the mean of the last layer's states, of length 1.

    One Embedder serves one thread at a time. The vector of a text does not depend on the texts beside it; with the openvino
    engine not even in its last bit.

    Args:
        tokenizer: The model's tokenizer.
        engine: Computes the means; its model has no heads.
        lang: Language that the model reads (ISO 639-1).
        window: Tokens of the longest sequence, specials included; what a text has behind it is not read.
        digest: Names the model: vectors of two models are not to be compared.
        budget_tokens: Tokens of a batch, padding included.
    """

    def __init__(
        self, tokenizer: PieceTokenizer, engine: Engine, lang: str, window: int, digest: str, budget_tokens: int = BUDGET_TOKENS
    ) -> None:
        self.tokenizer, self.engine, self.lang, self.window = tokenizer, engine, lang, window
        self.digest, self.budget_tokens = digest, budget_tokens

    def vectors(self, texts: Sequence[str], check: Callable[[], object] | None = None) -> Float32:
        """Make the vectors of texts; the dot product of two is their cosine.

        Args:
            texts: Passages or questions.
            check: Called after every batch; what it raises ends the call.

        Returns:
            Unit vectors, shape (texts, width), in the order of the texts.

        Raises:
            TypeError: Something that is no sequence of strings.
        """
        pieces = self.tokenizer.encode(as_texts(texts))
        first = pieces.offsets[:-1]
        last = np.minimum(pieces.offsets[1:], first + self.window - 2)
        windows = Windows(np.arange(len(pieces)), first, last, first, last)
        batches = make_batches(pieces, windows, self.tokenizer.cls_id, self.tokenizer.sep_id, self.budget_tokens)
        found: list[tuple[np.ndarray, Float32]] = []
        for logits in self.engine.infer(batches):
            if check is not None:
                check()
            found.append((logits.batch.windows, logits.sentiment))
        if not found:
            return np.zeros((0, 0), np.float32)
        order = np.argsort(np.concatenate([which for which, _ in found]))
        means = np.concatenate([mean for _, mean in found])[order].astype(np.float64)
        unit: Float32 = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
        return unit


def load_embedder(model: str | Path = "embed-en", engine: EngineName = "auto", threads: int | None = None) -> Embedder:
    """Load an embedder of the zoo by its name, or any embedder's folder.

    Args:
        model: Name or folder.
        engine: See `models.load`.
        threads: Threads; by default the CPUs that this process may use.

    Returns:
        The embedder.

    Raises:
        ModelMissingError: There is no such embedder.
        ModelDamagedError: A file of it does not fit.
        EngineMissingError: The engine is not installed.
    """
    package = open_package(model, EMBEDDER)
    chosen = make_engine(package, engine, threads or default_threads(), few_shapes=True)
    return Embedder(PieceTokenizer(package.tokenizer_json(), package.folds), chosen, package.lang, package.window, package.digest)
