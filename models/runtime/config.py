"""The numbers that fix the shapes of an encoder's weights; nothing here needs torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.runtime.labels import NUM_CASES, NUM_SENTIMENTS, NUM_TOKEN_OUTPUTS

# Largest values of int8 weights (symmetric) and of 8-bit activations (with a zero point).
WEIGHT_MAX = 127
ACT_MAX = 255


@dataclass(frozen=True, slots=True)
class LayerShape:
    """Attention heads and feed-forward width that one layer has (after pruning, if any)."""

    heads: int
    ffn: int


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Everything that fixes the shapes of an encoder's weights.

    `hidden` and `head_dim` are widths; `positions` the longest window in tokens, specials included; `relative_buckets`
    is 0 without a relative position bias; `cases` the number of case features, to which a teacher may add others. `pairs`
    is the number of rows, each `pair_width` wide, of the table of neighbouring tokens, or 0 without one. With `transitions`
    steps from one entity tag to the next have weights, and entities are read off the best path. `token_outputs` and
    `text_outputs` are what the heads give for each token and for the whole: a tagger's labels, or a reader's.
    """

    vocab: int
    hidden: int
    layers: tuple[LayerShape, ...]
    head_dim: int
    positions: int = 512
    layer_norm_eps: float = 1e-12
    relative_buckets: int = 0
    cases: int = NUM_CASES
    pairs: int = 0
    pair_width: int = 0
    transitions: bool = False
    token_outputs: int = NUM_TOKEN_OUTPUTS
    text_outputs: int = NUM_SENTIMENTS

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EncoderConfig:
        return cls(**{**data, "layers": tuple(LayerShape(**layer) for layer in data["layers"])})


def relative_buckets(length: int, buckets: int, max_distance: int = 128) -> npt.NDArray[np.int64]:
    """T5's bidirectional bucket (Raffel et al. 2020) of every pair of positions, int64 [length, length]."""
    where = np.arange(length)
    n = where[:, None] - where[None, :]
    half = buckets // 2
    exact = half // 2
    distance = np.abs(n)
    scale = np.log(np.maximum(distance, 1) / exact) / np.log(max_distance / exact)
    far = np.minimum(exact + (scale * (half - exact)).astype(np.int64), half - 1)
    result: npt.NDArray[np.int64] = np.where(n < 0, half, 0) + np.where(distance < exact, distance, far)
    return result
