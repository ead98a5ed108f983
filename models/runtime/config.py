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

    Attributes:
        hidden: Width of the states.
        head_dim: Width of an attention head.
        positions: Longest window in tokens, specials included.
        relative_buckets: Buckets of a relative position bias, 0 without one.
        cases: Case features, to which a teacher may add others.
        pairs: Rows of the table of neighbouring tokens, 0 without one.
        pair_width: Width of a row of that table.
        transitions: Whether steps from one entity tag to the next have weights; then entities are read off the best path.
        token_outputs: What the heads give for each token: a tagger's labels, or a reader's.
        text_outputs: What they give for the whole.
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
        """Return the configuration as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EncoderConfig:
        """Return the configuration that `to_json` gave.

        Args:
            data: The JSON object.
        """
        return cls(**{**data, "layers": tuple(LayerShape(**layer) for layer in data["layers"])})


def relative_buckets(length: int, buckets: int, max_distance: int = 128) -> npt.NDArray[np.int64]:
    """Compute T5's bidirectional bucket (Raffel et al., 2020) of every pair of positions.

    Args:
        length: Number of positions.
        buckets: Number of buckets, for both directions together.
        max_distance: From here on all are in the last bucket.

    Returns:
        int64, shape (length, length).
    """
    where = np.arange(length)
    n = where[:, None] - where[None, :]
    half = buckets // 2
    exact = half // 2
    distance = np.abs(n)
    scale = np.log(np.maximum(distance, 1) / exact) / np.log(max_distance / exact)
    far = np.minimum(exact + (scale * (half - exact)).astype(np.int64), half - 1)
    result: npt.NDArray[np.int64] = np.where(n < 0, half, 0) + np.where(distance < exact, distance, far)
    return result
