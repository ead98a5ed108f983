"""The families of Hugging Face models that are read, and how each names its numbers and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.runtime.config import FIRST, FIRST_RELU

GELU = "gelu"


@dataclass(frozen=True, slots=True)
class Family:
    """How a family of models names its numbers and tensors.

    Attributes:
        numbers: Keys of config.json: layers, heads, activation.
        root: What all tensors but the heads' begin with.
        layer: What those of a layer begin with, its number in braces.
        qkv: Query, key and value of a layer.
        parts: The others of a layer, by our names.
        pool: What turns the first token's state into the input of the classes.
        pooling: See `EncoderConfig`.
        plain: Whether there are no token types, and nothing but 1e-12 is added to variances.
    """

    numbers: tuple[str, str, str]
    root: str
    layer: str
    qkv: tuple[str, str, str]
    parts: Mapping[str, str]
    pool: str
    pooling: str
    plain: bool


FAMILIES = {
    "bert": Family(
        ("num_hidden_layers", "num_attention_heads", "hidden_act"),
        "bert.",
        "bert.encoder.layer.{}.",
        ("attention.self.query", "attention.self.key", "attention.self.value"),
        {
            "out": "attention.output.dense", "norm1": "attention.output.LayerNorm",
            "up": "intermediate.dense", "down": "output.dense", "norm2": "output.LayerNorm",
        },
        "bert.pooler.dense",
        FIRST,
        plain=False,
    ),
    "distilbert": Family(
        ("n_layers", "n_heads", "activation"),
        "distilbert.",
        "distilbert.transformer.layer.{}.",
        ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        {
            "out": "attention.out_lin", "norm1": "sa_layer_norm",
            "up": "ffn.lin1", "down": "ffn.lin2", "norm2": "output_layer_norm",
        },
        "pre_classifier",
        FIRST_RELU,
        plain=True,
    ),
}  # fmt: skip
# Of what config.json leaves out.
_DEFAULTS: dict[str, Any] = {
    "num_hidden_layers": 12, "num_attention_heads": 12, "hidden_act": GELU, "n_layers": 6, "n_heads": 12, "activation": GELU,
}  # fmt: skip


def number(config: Mapping[str, Any], key: str) -> Any:
    """Return a value of config.json, or what the family takes for it where it is left out.

    Args:
        config: The parsed file.
        key: One of `Family.numbers`.
    """
    return config.get(key, _DEFAULTS[key])
