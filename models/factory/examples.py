"""Labelled records as flat arrays, and the batches that training draws from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.factory.corpus_readers import LabelledText
from models.runtime.batches import cut_by_budget, ranges
from models.runtime.labels import ENTITY_TAGS, SENTIMENTS, UPOS
from models.runtime.tokenizer import PieceTokenizer

IGNORE = -100
# Entity codes are the indices of ENTITY_TAGS, and one more: no entity, or one of a type that the corpus does not label.
O_OR_MISC = len(ENTITY_TAGS)
# Sentiment codes are the indices of SENTIMENTS, and two more, of corpora that know no neutral: rather negative than positive,
# and rather positive.
RATHER_NEGATIVE, RATHER_POSITIVE = len(SENTIMENTS), len(SENTIMENTS) + 1
MAX_PIECES = 126
# So many texts are tokenized at once.
STRETCH = 20_000

Array = npt.NDArray[np.int8]


def allowed_tags() -> Tensor:
    """Build the table of entity tags that each entity code allows.

    A code is the index of its tag in ENTITY_TAGS; O_OR_MISC allows O and both tags of MISC.

    Returns:
        bool, shape (len(ENTITY_TAGS) + 1, len(ENTITY_TAGS)); row c is code c.
    """
    allowed = torch.eye(len(ENTITY_TAGS), dtype=torch.bool)
    either = torch.tensor([tag == "O" or tag.endswith("MISC") for tag in ENTITY_TAGS])
    return torch.cat([allowed, either[None]])


@dataclass(frozen=True, slots=True)
class Examples:
    """D encoded texts of N tokens in all, each between [CLS] and [SEP], with their labels.

    Labels are IGNORE where nothing is known, and those of tokens also where the token begins no unit (a word or punctuation mark
    of the pre-tokenizer).

    Attributes:
        ids: Token ids, int32, shape (N,).
        cases: Case features, uint8, shape (N,).
        tags: Entity codes, int8, shape (N,).
        upos: Indices in UPOS, int8, shape (N,); IGNORE also where a unit goes on a word.
        joins: Whether a unit goes on the word of the unit before it (indices in JOINS), int8, shape (N,).
        units: Whether a token begins a unit, bool, shape (N,).
        sentiment: Sentiment codes, int8, shape (D,).
        offsets: Where the tokens of each text begin, and the end of the last, int64, shape (D + 1,).
    """

    ids: npt.NDArray[np.int32]
    cases: npt.NDArray[np.uint8]
    tags: Array
    upos: Array
    joins: Array
    units: npt.NDArray[np.bool_]
    sentiment: Array
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sentiment)

    def take(self, docs: npt.NDArray[np.int64]) -> Examples:
        """Copy some of the texts, in a given order.

        Args:
            docs: Numbers of the texts, int64; a text may occur more than once.

        Returns:
            The texts `docs`, in that order.
        """
        at = _flat(self.offsets, docs)
        offsets = np.concatenate(([0], np.cumsum(self.lengths[docs])))
        per_token = (self.ids[at], self.cases[at], self.tags[at], self.upos[at], self.joins[at], self.units[at])
        return Examples(*per_token, self.sentiment[docs], offsets)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each text, [CLS] and [SEP] included, int64, shape (D,)."""
        return np.diff(self.offsets)


def without_neutral(examples: Examples) -> Examples:
    """Weaken the sentiment labels of a corpus that knows no neutral: they say which of negative and positive a text rather is.

    Args:
        examples: Texts of such a corpus.

    Returns:
        The same texts with RATHER_NEGATIVE for negative and RATHER_POSITIVE for positive; other codes stay.
    """
    codes = np.select([examples.sentiment == 0, examples.sentiment == 2], [RATHER_NEGATIVE, RATHER_POSITIVE], examples.sentiment)
    return replace(examples, sentiment=codes.astype(np.int8))


def encode(
    records: Sequence[LabelledText], tokenizer: PieceTokenizer, misc_known: bool = True, most: int = MAX_PIECES
) -> Examples:
    """Tokenize records, truncate them, and align their labels with the units.

    A unit takes the labels of the word in which it begins: the entity tag (B- only on the word's first unit), the part of speech
    (on the first unit only), and whether it goes on a word. Texts are tokenized STRETCH at a time to bound memory.

    Args:
        records: Texts with their gold labels.
        tokenizer: Of the model.
        misc_known: Whether O excludes MISC; without it O is encoded as O_OR_MISC.
        most: Pieces of a text that are kept, [CLS] and [SEP] not counted.

    Returns:
        The encoded texts, in the order of the records.
    """
    return concatenate(
        [_encode(records[at : at + STRETCH], tokenizer, misc_known, most) for at in range(0, max(len(records), 1), STRETCH)]
    )


def _encode(records: Sequence[LabelledText], tokenizer: PieceTokenizer, misc_known: bool, most: int) -> Examples:
    pieces = tokenizer.encode([record.text for record in records])
    kept = np.minimum(np.diff(pieces.offsets), most)
    offsets = np.concatenate(([0], np.cumsum(kept + 2)))
    total = int(offsets[-1])
    ids = np.zeros(total, dtype=np.int32)
    cases, units = np.zeros(total, dtype=np.uint8), np.zeros(total, dtype=bool)
    tags, upos, joins = (np.full(total, IGNORE, dtype=np.int8) for _ in range(3))
    sentiment = np.array([IGNORE if r.sentiment is None else r.sentiment for r in records], dtype=np.int8)
    tag_codes = {tag: code for code, tag in enumerate(ENTITY_TAGS)}
    if not misc_known:
        tag_codes["O"] = O_OR_MISC
    upos_codes = {tag: code for code, tag in enumerate(UPOS)}

    for d, record in enumerate(records):
        source = slice(int(pieces.offsets[d]), int(pieces.offsets[d] + kept[d]))
        target = slice(int(offsets[d]) + 1, int(offsets[d + 1]) - 1)
        ids[target.start - 1], ids[target.stop] = tokenizer.cls_id, tokenizer.sep_id
        ids[target], cases[target], units[target] = pieces.ids[source], pieces.cases[source], pieces.units[source]
        if not record.words:
            continue
        at = np.flatnonzero(pieces.units[source])
        word_starts = np.array([start for start, _ in record.words])
        word = np.searchsorted(word_starts, pieces.starts[source][at], side="right") - 1
        follows = np.append(False, word[1:] == word[:-1])
        at += target.start
        if record.tags is not None:
            inside = [tag_codes["I-" + t[2:]] if t[:1] == "B" else tag_codes[t] for t in record.tags]
            first = [tag_codes[t] for t in record.tags]
            tags[at] = np.where(follows, np.array(inside)[word], np.array(first)[word])
        if record.upos is not None:
            codes = np.array([upos_codes[tag] for tag in record.upos])
            upos[at] = np.where(follows, IGNORE, codes[word])
            joins[at] = follows
    return Examples(ids, cases, tags, upos, joins, units, sentiment, offsets)


def _flat(offsets: npt.NDArray[np.int64], docs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return ranges(offsets[docs], np.diff(offsets)[docs])


def concatenate(parts: Sequence[Examples]) -> Examples:
    """Put several sets of examples one behind another.

    Args:
        parts: At least one.

    Returns:
        All texts, in the order of the parts.
    """
    offsets = [parts[0].offsets[:1]]
    for part in parts:
        offsets.append(part.offsets[1:] + offsets[-1][-1])
    flat = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Examples) if f.name != "offsets"}
    return Examples(**flat, offsets=np.concatenate(offsets))


@dataclass(frozen=True, slots=True)
class Batch:
    """B texts padded to S tokens, as tensors on one device.

    Attributes:
        ids: Token ids, 0 in the padding, int64, shape (B, S).
        cases: Case features, 0 in the padding, int64, shape (B, S).
        mask: Where a token is, bool, shape (B, S).
        tags: Entity codes, IGNORE in the padding, int64, shape (B, S).
        upos: Indices in UPOS, IGNORE in the padding, int64, shape (B, S).
        joins: Indices in JOINS, IGNORE in the padding, int64, shape (B, S).
        units: Where a token begins a unit, bool, shape (B, S).
        sentiment: Sentiment codes, int64, shape (B,).
        docs: Numbers of the texts in the examples, int64, shape (B,).
        flat: Position of every real token in the examples' arrays, row by row, int64, shape (tokens,).
    """

    ids: Tensor
    cases: Tensor
    mask: Tensor
    tags: Tensor
    upos: Tensor
    joins: Tensor
    units: Tensor
    sentiment: Tensor
    docs: npt.NDArray[np.int64]
    flat: npt.NDArray[np.int64]

    @property
    def tokens(self) -> int:
        """Number of tokens, padding not counted."""
        return len(self.flat)

    def to(self, where: torch.device) -> Batch:
        """Move the tensors to a device.

        Args:
            where: The device.

        Returns:
            A batch with its tensors there; this one if they are on a device of that type. The copies may still be under way.
        """
        if self.ids.device.type == where.type:
            return self
        moved: dict[str, Any] = {
            f.name: value.pin_memory().to(where, non_blocking=True)
            for f in fields(Batch)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)


def gather(examples: Examples, docs: npt.NDArray[np.int64], multiple: int = 1) -> Batch:
    """Pad some of the texts to one length and put them into a batch.

    Args:
        examples: What the texts are taken from.
        docs: Numbers of the texts, int64, shape (B,); at least one.
        multiple: The padded length is the longest text's, rounded up to a multiple of this.

    Returns:
        The batch, on the CPU.
    """
    lengths = examples.lengths[docs]
    columns = np.arange(-(-int(lengths.max()) // multiple) * multiple)
    inside = columns[None, :] < lengths[:, None]
    where = np.where(inside, examples.offsets[docs][:, None] + columns[None, :], 0)

    def pad(values: npt.NDArray[np.generic], fill: int) -> Tensor:
        return torch.from_numpy(np.where(inside, values[where], fill).astype(np.int64))

    return Batch(
        ids=pad(examples.ids, 0),
        cases=pad(examples.cases, 0),
        mask=torch.from_numpy(inside),
        tags=pad(examples.tags, IGNORE),
        upos=pad(examples.upos, IGNORE),
        joins=pad(examples.joins, IGNORE),
        units=torch.from_numpy(inside & examples.units[where]),
        sentiment=torch.from_numpy(examples.sentiment[docs].astype(np.int64)),
        docs=docs,
        flat=where[inside],
    )


# Kernels are built anew for every shape that was not seen before, which costs a quarter of a step; so training pads to
# a few lengths.
TRAIN_MULTIPLE = 4


def draw(examples: Examples, repeats: npt.NDArray[np.float64], budget: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Draw the batches of one training run, in order.

    The run consists of passes, as many as the largest of `repeats`, rounded up. A text's draws are spread over all of them; what
    is drawn at most once comes in the first half (rounded up), so that texts that count for more come last. In each pass texts
    are shuffled, sorted by length within stretches of max(2048, `budget`) texts and cut by the token budget; then the batches are
    shuffled.

    Args:
        examples: What is drawn from.
        repeats: How often each text is drawn, float64, shape (D,); the fraction is the probability of one draw more.
        budget: Padded tokens of a batch.
        seed: Fixes the draws and their order.

    Returns:
        Numbers of the texts of each batch, int64.
    """
    rng = np.random.default_rng(seed)
    passes = int(np.ceil(repeats.max()))
    luck = rng.random(len(repeats))
    pace = np.where(repeats > 1, 1.0, 2.0)
    wide = max(2048, budget)
    runs: list[npt.NDArray[np.int64]] = []
    for number in range(passes):
        before, after = (np.floor(repeats * np.minimum(pace * at / passes, 1.0) + luck) for at in (number, number + 1))
        chosen = np.repeat(np.arange(len(repeats)), (after - before).astype(np.int64))
        rng.shuffle(chosen)
        mine: list[npt.NDArray[np.int64]] = []
        for start in range(0, len(chosen), wide):
            stretch = chosen[start : start + wide]
            mine += cut_by_budget(
                examples.lengths, stretch[np.argsort(examples.lengths[stretch], kind="stable")], budget, TRAIN_MULTIPLE
            )
        runs += [mine[i] for i in rng.permutation(len(mine))]
    return runs


def sweep(examples: Examples, budget: int) -> Iterator[Batch]:
    """Iterate over every text once, sorted by length, for evaluation and labelling.

    Args:
        examples: The texts.
        budget: Padded tokens of a batch.

    Yields:
        The batches, shortest texts first, on the CPU.
    """
    order = np.argsort(examples.lengths, kind="stable")
    for docs in cut_by_budget(examples.lengths, order, budget):
        yield gather(examples, docs)
