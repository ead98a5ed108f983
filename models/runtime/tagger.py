"""The Tagger: texts in, one Arrow table out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from models.errors import EngineMissingError
from models.runtime.batches import RaggedBatch, Windows, make_batches, make_windows, owned
from models.runtime.decode import check, decode, softmax
from models.runtime.engines import Engine, OpenVinoEngine, TorchEngine, default_threads
from models.runtime.labels import NUM_SENTIMENTS, NUM_TOKEN_OUTPUTS
from models.runtime.package import ModelPackage, open_package
from models.runtime.schema import TAGS
from models.runtime.tokenizer import Pieces, PieceTokenizer

EngineName = Literal["auto", "openvino", "torch"]

# Texts are tagged in groups of at most so many characters, which bounds memory and gives the sort enough to choose from.
GROUP_CHARACTERS = 1 << 20
SENTENCE_ENDS = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f", "\uff1b")


@dataclass(slots=True)
class Work:
    """What a Tagger has done: tokens of the texts (no specials), and tokens computed (specials, overlap, padding)."""

    texts: int = 0
    tokens: int = 0
    sequence_tokens: int = 0
    computed_tokens: int = 0

    @property
    def padding(self) -> float:
        """The share of padding in the tokens computed."""
        return 1.0 - self.sequence_tokens / self.computed_tokens if self.computed_tokens else 0.0


class Tagger:
    """Finds entities, sentiment, words and parts of speech in one pass.

    One Tagger serves one thread at a time. Its answer for a text does not depend on the texts beside it.
    """

    def __init__(self, tokenizer: PieceTokenizer, engine: Engine, lang: str, window: int, budget_tokens: int = 2048) -> None:
        self.tokenizer, self.engine, self.lang, self.window = tokenizer, engine, lang, window
        self.budget_tokens = budget_tokens
        self.work = Work()
        self._breaks = np.zeros(tokenizer.vocab_size, dtype=bool)
        self._breaks[[i for i in map(tokenizer.id_of, SENTENCE_ENDS) if i is not None]] = True

    def tag(self, texts: Sequence[str]) -> pa.Table:
        """One row a text, in their order, with the columns of `models.TAGS`.

        A text without a piece (empty, white space, control characters) has no entities and no words and is neutral.
        Raises BadOutputError if the engine gives scores that are not numbers.
        """
        tables = [self._tag_group(group) for group in _groups(texts)]
        return pa.concat_tables(tables) if tables else TAGS.empty_table()

    def encode(self, texts: Sequence[str]) -> tuple[Pieces, Windows, Iterator[RaggedBatch]]:
        """The pieces, windows and batches that `tag` would compute."""
        pieces = self.tokenizer.encode(texts)
        windows = make_windows(pieces, self._breaks[pieces.ids], self.window - 2)
        batches = make_batches(pieces, windows, self.tokenizer.cls_id, self.tokenizer.sep_id, self.budget_tokens)
        return pieces, windows, batches

    def _tag_group(self, texts: Sequence[str]) -> pa.Table:
        pieces, windows, batches = self.encode(texts)
        tokens = np.zeros((len(pieces.ids), NUM_TOKEN_OUTPUTS), dtype=np.float32)
        sums = np.zeros((len(texts), NUM_SENTIMENTS), dtype=np.float64)
        for scores in self.engine.infer(self._count(batches)):
            token, piece = owned(scores.batch, windows)
            tokens[piece] = scores.tokens[token]
            run = scores.batch.windows
            weight = (windows.own_last - windows.own_first)[run][:, None]
            np.add.at(sums, windows.doc[run], weight * softmax(check(scores.sentiment)))
        sums[np.diff(pieces.offsets) == 0, 1] = 1.0
        sentiment = (sums / sums.sum(axis=1, keepdims=True)).astype(np.float32)
        self.work.texts += len(texts)
        self.work.tokens += len(pieces.ids)
        return decode(texts, pieces, tokens, sentiment, self.lang)

    def _count(self, batches: Iterable[RaggedBatch]) -> Iterator[RaggedBatch]:
        for batch in batches:
            self.work.sequence_tokens += len(batch.ids)
            self.work.computed_tokens += batch.longest * len(batch.windows)
            yield batch


def _groups(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start, size = 0, 0
    for i, text in enumerate(texts):
        if i > start and size + len(text) > GROUP_CHARACTERS:
            yield texts[start:i]
            start, size = i, 0
        size += len(text) + 16
    if start < len(texts):
        yield texts[start:]


def load(model: str | Path = "en", engine: EngineName = "auto", threads: int | None = None) -> Tagger:
    """Load a model of the zoo by its name, or any model folder.

    `engine`: "openvino" (int8 on the CPU), "torch" (the reference; CUDA in bf16 where there is a GPU), or "auto": torch
    on a machine with CUDA, else openvino. `threads` defaults to the CPUs that this process may use.

    Raises ModelMissingError, ModelDamagedError or EngineMissingError, before any text is tagged.
    """
    package = open_package(model)
    chosen = make_engine(package, engine, threads or default_threads())
    return Tagger(PieceTokenizer(package.tokenizer_json()), chosen, package.lang, package.window)


def make_engine(package: ModelPackage, engine: EngineName, threads: int) -> Engine:
    """The engine of that name for that model; see `load`."""
    if engine not in ("auto", "openvino", "torch"):
        raise EngineMissingError(f"no engine {engine!r}; there are auto, openvino and torch")
    if engine == "openvino" or (engine == "auto" and not _has_cuda()):
        return OpenVinoEngine(package.config, package.weights(), threads)
    try:
        from models.runtime.weights import to_encoder
    except ImportError as error:
        raise EngineMissingError("engine 'torch' is not installed: pip install 'textmill[torch]'") from error
    device = "cuda" if _has_cuda() else "cpu"
    return TorchEngine(to_encoder(package.config, package.weights()), threads, device)


def _has_cuda() -> bool:
    """Whether torch could use a GPU; torch is not imported where there is no NVIDIA driver."""
    if not Path("/proc/driver/nvidia/version").exists():
        return False
    try:
        import torch
    except ImportError as error:
        raise EngineMissingError("there is a GPU, but no torch: pip install 'textmill[torch]', or engine='openvino'") from error
    return torch.cuda.is_available()
