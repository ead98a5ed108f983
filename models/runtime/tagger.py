"""The Tagger: texts in, one Arrow table out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.errors import EngineMissingError
from models.runtime.batches import RaggedBatch, Windows, make_batches, make_windows, owned
from models.runtime.decode import check, decode, softmax
from models.runtime.engines import Engine, Logits, OpenVinoEngine, TorchEngine, default_threads
from models.runtime.labels import NUM_SENTIMENTS, NUM_TOKEN_OUTPUTS
from models.runtime.package import ModelPackage, open_models, open_package
from models.runtime.schema import TAGS
from models.runtime.script import languages
from models.runtime.tokenizer import Pieces, PieceTokenizer

if TYPE_CHECKING:
    from models.runtime.router import LanguageRouter

EngineName = Literal["auto", "openvino", "torch"]

# Texts are tagged in groups of at most so many characters, which bounds memory and gives the sort enough to choose from.
GROUP_CHARACTERS = 1 << 18
SENTENCE_ENDS = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f", "\uff1b")


def as_texts(texts: Sequence[str]) -> Sequence[str]:
    """The texts; those of an Arrow array as strings. Raises TypeError, with the place, for what is no sequence of strings."""
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

    def __init__(
        self,
        tokenizer: PieceTokenizer,
        engine: Engine,
        lang: str,
        window: int,
        budget_tokens: int = 2048,
        transitions: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """`transitions`: those of the model, where it has them; see `models.runtime.viterbi`."""
        self.tokenizer, self.engine, self.lang, self.window = tokenizer, engine, lang, window
        self.budget_tokens, self.transitions = budget_tokens, transitions
        self.work = TaggerStats()
        self._breaks = np.zeros(tokenizer.vocab_size, dtype=bool)
        self._breaks[[i for i in map(tokenizer.id_of, SENTENCE_ENDS) if i is not None]] = True

    @property
    def each(self) -> tuple[Tagger, ...]:
        """The taggers of single languages: this one."""
        return (self,)

    @property
    def languages(self) -> tuple[str, ...]:
        """What this tagger reads."""
        return (self.lang,)

    def foreign(self, texts: Sequence[str]) -> list[str | None]:
        """For every text None, or the language of its script where that is not the tagger's."""
        return [None if lang in (None, self.lang) else lang for lang in languages(texts)]

    def tag(self, texts: Sequence[str], check: Callable[[], object] | None = None) -> pa.Table:
        """One row a text, in their order, with the columns of `models.TAGS`.

        A text without a piece (empty, white space, control characters) has no entities and no words and is neutral.
        `check` is called after every batch; what it raises ends the call. Raises TypeError for what is no sequence of strings,
        BadOutputError if the engine gives scores that are not numbers.
        """
        tables = list(self._tables(as_texts(texts), check))
        return pa.concat_tables(tables) if tables else TAGS.empty_table()

    def encode(self, texts: Sequence[str]) -> tuple[Pieces, Windows, Iterator[RaggedBatch]]:
        """The pieces, windows and batches that `tag` would compute."""
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
        return _Group(texts, pieces, windows, list(batches))

    def _finish(self, group: _Group) -> pa.Table:
        sums = group.sentiment
        sums[np.diff(group.pieces.offsets) == 0, 1] = 1.0
        sentiment = (sums / sums.sum(axis=1, keepdims=True)).astype(np.float32)
        self.work.texts += len(group.texts)
        self.work.tokens += len(group.pieces.ids)
        return decode(group.texts, group.pieces, group.tokens, sentiment, self.lang, self.transitions)


class _Group:
    """Texts that are sorted and batched together, and what is known of them so far."""

    def __init__(self, texts: Sequence[str], pieces: Pieces, windows: Windows, batches: list[RaggedBatch]) -> None:
        self.texts, self.pieces, self.windows, self.batches = texts, pieces, windows, batches
        self.waiting = {id(batch) for batch in batches}
        self.tokens = np.zeros((len(pieces.ids), NUM_TOKEN_OUTPUTS), dtype=np.float32)
        self.sentiment = np.zeros((len(texts), NUM_SENTIMENTS), dtype=np.float64)

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


def load(
    model: str | Path = "en",
    engine: EngineName = "auto",
    threads: int | None = None,
    devices: Sequence[Sequence[str]] = (),
) -> Tagger | LanguageRouter:
    """Load a model of the zoo by its name, or any model folder; "auto", or names with + between them, loads several, and
    each text is tagged by the one of its language.

    `engine`: "openvino" (int8 on the CPU), "torch" (the reference; CUDA in bf16 where there is a GPU), or "auto": torch
    where it is installed and can use a GPU, else openvino. `threads` defaults to the CPUs that this process may use.
    `devices`: where the layers lie of a model that no single device holds, and chains of them side by side, in torch: see
    StagedEngine.

    Raises ModelMissingError, ModelDamagedError or EngineMissingError, before any text is tagged.
    """
    taggers = [_of_package(package, engine, threads, devices) for package in open_models(model).packages]
    if len(taggers) == 1:
        return taggers[0]
    from models.runtime.router import LanguageRouter

    return LanguageRouter(taggers)


def load_one(model: str | Path, engine: EngineName = "auto", threads: int | None = None) -> Tagger:
    """As `load`, of one language; raises ModelMissingError for "auto" and the like."""
    return _of_package(open_package(model), engine, threads)


def _of_package(package: ModelPackage, engine: EngineName, threads: int | None, devices: Sequence[Sequence[str]] = ()) -> Tagger:
    chosen = _staged(package, devices) if devices else make_engine(package, engine, threads or default_threads())
    transitions = package.weights()["transitions"] if package.config.transitions else None
    return Tagger(PieceTokenizer(package.tokenizer_json()), chosen, package.lang, package.window, transitions=transitions)


def _staged(package: ModelPackage, devices: Sequence[Sequence[str]]) -> Engine:
    check_engine("torch")
    from models.runtime.pipeline_parallel import PipelineParallelEngine
    from models.runtime.weights import to_encoder

    return PipelineParallelEngine(to_encoder(package.config, package.weights()), devices)


def check_engine(engine: EngineName) -> None:
    """Raise EngineMissingError unless there is an engine of that name and what it needs is installed."""
    needs = {"auto": "openvino", "openvino": "openvino", "torch": "torch"}
    if engine not in needs:
        raise EngineMissingError(f"no engine {engine!r}; there are {', '.join(needs)}")
    if find_spec(needs[engine]) is None:
        package = "'textmill[torch]'" if engine == "torch" else "openvino"
        raise EngineMissingError(f"engine {engine!r} is not installed: pip install {package}")


def make_engine(package: ModelPackage, engine: EngineName, threads: int) -> Engine:
    """The engine of that name for that model; see `load`."""
    check_engine(engine)
    if engine == "openvino" or (engine == "auto" and not _has_cuda()):
        return OpenVinoEngine(package.config, package.weights(), threads)
    from models.runtime.weights import to_encoder

    device = "cuda" if _has_cuda() else "cpu"
    return TorchEngine(to_encoder(package.config, package.weights()), threads, device)


def _has_cuda() -> bool:
    """Whether torch could use a GPU; torch is not imported where there is no NVIDIA driver."""
    if not Path("/proc/driver/nvidia/version").exists():
        return False
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()
