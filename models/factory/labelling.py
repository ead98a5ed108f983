"""The texts that students learn from, and the teacher's answers to them, cached on disk."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from models.errors import RecipeError
from models.factory.corpora import CORPORA, Record, read
from models.factory.examples import Examples, concatenate, encode, sweep
from models.factory.files import read_json, write_json
from models.factory.mixture import sentiment_repeats
from models.factory.recipe import Label
from models.runtime.encoder import Encoder
from models.runtime.engines import default_threads
from models.runtime.labels import NUM_SENTIMENTS, NUM_TOKEN_OUTPUTS
from models.runtime.openvino_graph import build
from models.runtime.tokenizer import PieceTokenizer

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(@#])|\n\s*\n")
MIN_CHARACTERS, MAX_CHARACTERS = 20, 400
SAVE_EVERY = 50
CLAUSE_ENDS = frozenset(",;:.-!?") | {"--", "...", "but", "and", "or"}


@dataclass(frozen=True, slots=True)
class Pool:
    """All texts that a student may draw; text d comes from corpus `names[corpus[d]]`."""

    examples: Examples
    names: tuple[str, ...]
    corpus: npt.NDArray[np.int64]

    def repeats(self, epochs: dict[str, float], negative_factor: float) -> npt.NDArray[np.float64]:
        """How often each text is to be drawn; a corpus that is not named is not drawn.

        Raises RecipeError if `epochs` names a corpus that the teacher has not labelled.
        """
        if strange := sorted(set(epochs) - set(self.names)):
            raise RecipeError(f"epochs: {strange[0]!r} is not among the labelled texts: {', '.join(self.names)}")
        each = np.array([epochs.get(name, 0.0) for name in self.names])[self.corpus]
        for number in range(len(self.names)):
            mine = self.corpus == number
            each[mine] *= sentiment_repeats(self.examples.sentiment[mine], negative_factor)
        return each


def sentences(records: list[Record], wanted: int, rng: np.random.Generator) -> list[Record]:
    """`wanted` sentences of the records, in random order, white space folded; those with more capitals come first.

    Of two candidates drawn for every place, the one with more words in capitals inside it is kept: students need
    entities, and most sentences have none.
    """
    found: list[str] = []
    for number in rng.permutation(len(records)):
        for sentence in _SENTENCE.split(records[number].text):
            folded = " ".join(sentence.split())
            if MIN_CHARACTERS <= len(folded) <= MAX_CHARACTERS:
                found.append(folded)
        if len(found) >= 4 * wanted:
            break
    order = rng.permutation(len(found))[: 2 * wanted]
    richness = np.array([len(re.findall(r" [A-Z]", found[i])) for i in order])
    half = len(order) // 2
    keep = np.where(richness[:half] >= richness[half : 2 * half], order[:half], order[half : 2 * half])
    return [Record(found[i]) for i in keep]


def phrases(records: list[Record], wanted: int, rng: np.random.Generator) -> list[Record]:
    """`wanted` runs of words out of the records' texts: a part up to a comma or the like, or any run of 3 words or more.

    Sentences are few and say how all their parts together feel; the teacher's answers to the parts tell a student which
    words did it.
    """
    found: list[Record] = []
    for number in rng.integers(0, len(records), 20 * wanted):
        words = records[number].text.split()
        if len(words) < 6:
            continue
        breaks = [i + 1 for i, word in enumerate(words) if word in CLAUSE_ENDS]
        if breaks and rng.random() < 0.5:
            bounds = [0, *breaks, len(words)]
            at = int(rng.integers(0, len(bounds) - 1))
            first, last = bounds[at], bounds[at + 1]
        else:
            first = int(rng.integers(0, len(words) - 3))
            last = int(rng.integers(first + 3, len(words) + 1))
        if 3 <= last - first < len(words):
            found.append(Record(" ".join(words[first:last])))
            if len(found) == wanted:
                break
    return found


def build_pool(label: Label, data_dir: Path, tokenizer: PieceTokenizer, seed: int) -> Pool:
    """Read, choose (by `seed`) and tokenize the texts of a recipe."""
    parts, corpus = [], []
    kinds = (
        *((name, name, wanted) for name, wanted in label.gold.items()),
        *((name, name, wanted) for name, wanted in label.unlabelled.items()),
        *((f"{name}-phrases", name, wanted) for name, wanted in label.phrases.items()),
    )
    for number, (title, name, wanted) in enumerate(kinds):
        rng = np.random.default_rng([seed, number])
        records = read(name, data_dir)
        if title != name:
            records = phrases(records, wanted, rng)
        elif name in label.unlabelled:
            records = sentences(records, wanted, rng)
        elif 0 < wanted < len(records):
            records = [records[i] for i in sorted(rng.choice(len(records), wanted, replace=False))]
        parts.append(encode(records, tokenizer, CORPORA[name].misc_known))
        corpus.append(np.full(len(records), number))
    return Pool(concatenate(parts), tuple(title for title, _, _ in kinds), np.concatenate(corpus))


@dataclass(frozen=True, slots=True)
class Answers:
    """The teacher's answers to a pool: `tokens` float16 [N, K], `hidden` float16 [N, H], `sentiment` float32 [D, 3]."""

    tokens: npt.NDArray[np.float16]
    hidden: npt.NDArray[np.float16]
    sentiment: npt.NDArray[np.float32]


def answer(teacher: Encoder, pool: Pool, folder: Path, key: str, say: Callable[[str], None]) -> Answers:
    """The teacher's answers, from the cache in `folder`, or computed and written there.

    A kill loses at most the last SAVE_EVERY batches; `key` names teacher and texts, another key starts anew.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / "progress.json"
    total, docs, width = len(pool.examples.ids), len(pool.examples), teacher.config.hidden
    begun = read_json(state) or {}
    fresh = begun.get("key") != key
    if fresh:
        # Before the tables are opened anew: a kill must not leave them empty under a state that calls them whole.
        state.unlink(missing_ok=True)
    mode = "w+" if fresh else "r+"

    def table(name: str, kind: str, shape: tuple[int, int]) -> npt.NDArray[Any]:
        return np.lib.format.open_memmap(folder / f"{name}.npy", mode=mode, dtype=kind, shape=shape if fresh else None)

    tokens = table("tokens", "float16", (total, NUM_TOKEN_OUTPUTS))
    hidden = table("hidden", "float16", (total, width))
    sentiment = table("sentiment", "float32", (docs, NUM_SENTIMENTS))
    done = 0 if fresh else int(begun["batches"])
    batches = list(sweep(pool.examples, 2048))
    if done < len(batches):
        compiled = _compile(teacher)
        began, seen = time.monotonic(), 0
        for number in range(done, len(batches)):
            batch = batches[number]
            inside = batch.mask.numpy()
            inputs = [
                batch.ids.numpy().astype(np.int32),
                batch.cases.numpy().astype(np.int32),
                inside.astype(np.float32),
            ]
            out = compiled(inputs)
            tokens[batch.flat], sentiment[batch.docs], hidden[batch.flat] = out[0][inside], out[1], out[2][inside]
            seen += batch.tokens
            if (number + 1) % SAVE_EVERY == 0 or number + 1 == len(batches):
                write_json(state, {"key": key, "batches": number + 1})
                rate = seen / (time.monotonic() - began)
                say(f"labelled batch {number + 1}/{len(batches)}  {rate:,.0f} tokens/s")
    return Answers(tokens, hidden, sentiment)


def _compile(teacher: Encoder) -> ov.CompiledModel:
    weights = {name: tensor.numpy() for name, tensor in teacher.state_dict().items()}
    settings = {"INFERENCE_NUM_THREADS": default_threads(), "NUM_STREAMS": 1}
    return ov.Core().compile_model(build(teacher.config, weights, hidden=True), "CPU", settings)


def describe(pool: Pool) -> Iterator[str]:
    """One line a corpus: texts and tokens."""
    for number, name in enumerate(pool.names):
        mine = pool.corpus == number
        yield f"{name}: {mine.sum():,} texts, {pool.examples.lengths[mine].sum():,} tokens"
