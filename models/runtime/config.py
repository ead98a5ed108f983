"""The numbers that fix the shapes of an encoder's weights; nothing here needs torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.runtime.labels import ENTITY_TAGS, NUM_CASES, NUM_SENTIMENTS, NUM_TOKEN_OUTPUTS

# Largest values of int8 weights (symmetric) and of 8-bit activations (with a zero point).
WEIGHT_MAX = 127
ACT_MAX = 255
# What classes of the whole are told by: the mean over the tokens, or the first token's state; a dense layer follows, and then
# tanh, or ReLU where the name says so.
MEAN, FIRST, FIRST_RELU = "mean", "first", "first-relu"
POOLINGS = (MEAN, FIRST, FIRST_RELU)


@dataclass(frozen=True, slots=True)
class LayerShape:
    """Size of one layer, which may differ from the others' after structured pruning.

    Attributes:
        heads: Attention heads.
        ffn: Width of the feed-forward network.
    """

    heads: int
    ffn: int


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """Everything that fixes the shapes of an encoder's weights.

    Attributes:
        vocab: Token ids.
        hidden: Width of the states.
        layers: Size of each layer, from the embeddings up.
        head_dim: Width of an attention head.
        positions: Longest window in tokens, specials included.
        layer_norm_eps: Added to the variance in every LayerNorm.
        relative_buckets: Buckets of a relative position bias, 0 without one.
        cases: Number of case features; a teacher may have more than the students.
        pairs: Rows of the hashed embedding table of token bigrams, 0 without one.
        pair_width: Width of a row of that table.
        transitions: Whether steps from one entity tag to the next have weights; then entities are read off the best path.
        entity_tags: Tags that those weights are between.
        token_outputs: What the heads give for each token: a tagger's labels, or a reader's.
        text_outputs: What they give for the whole. Where both are 0 there are no heads: the last layer's states are what each
            token gives, and their mean over the tokens is what the whole gives.
        pooling: One of `POOLINGS`.
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
    entity_tags: int = len(ENTITY_TAGS)
    token_outputs: int = NUM_TOKEN_OUTPUTS
    text_outputs: int = NUM_SENTIMENTS
    pooling: str = MEAN

    @property
    def headless(self) -> bool:
        """Whether there are no heads."""
        return not self.token_outputs

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as a JSON object, which `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EncoderConfig:
        """Return the configuration that `to_json` gave.

        Args:
            data: The parsed JSON object.

        Raises:
            ValueError: It has a pooling that this version does not know.
        """
        found = cls(**{**data, "layers": tuple(LayerShape(**layer) for layer in data["layers"])})
        if found.pooling not in POOLINGS:
            raise ValueError(f"pooling {found.pooling!r}, this version knows {', '.join(POOLINGS)}")
        return found


def relative_buckets(length: int, buckets: int, max_distance: int = 128) -> npt.NDArray[np.int64]:
    """Compute T5's bidirectional relative position bucket (Raffel et al., 2020) of every pair of positions.

    Half the buckets of each direction hold one distance each; the others grow logarithmically up to `max_distance`.

    Args:
        length: Number of positions.
        buckets: Number of buckets, both directions together.
        max_distance: Distance from which on all share the last bucket of their direction.

    Returns:
        Bucket for each query (row) and key (column), int64, shape (length, length).
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
