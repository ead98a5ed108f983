"""Between a live `Encoder` and the tensors of a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.runtime.config import WEIGHT_MAX, EncoderConfig
from models.runtime.encoder import Encoder
from models.runtime.quantized import QuantLinear, layer_linears, quantize_linears, weight_scale

Weights = dict[str, npt.NDArray[Any]]


def to_weights(encoder: Encoder) -> Weights:
    """Make the tensors that are stored.

    `QuantLinear`s and the embeddings of words and pairs are int8 with scales, the rest float16. Norms, biases and the ranges stay
    float32: they are small, and rounding them would cost accuracy for nothing.

    Args:
        encoder: The encoder.

    Returns:
        The tensors, by the names of the encoder's state.
    """
    out: Weights = {}
    for name, tensor in encoder.state_dict().items():
        values = tensor.detach().cpu().numpy()
        big = values.ndim == 2 and values.size > 1 << 16
        out[name] = values.astype(np.float16) if big else values
    quantized = {full: getattr(parent, name) for full, parent, name in layer_linears(encoder)}
    matrices = {full + ".weight": m.weight for full, m in quantized.items() if isinstance(m, QuantLinear)}
    tables = {"words.weight": encoder.words.weight}
    if encoder.config.pairs:
        tables["pairs.weight"] = encoder.pairs.weight
    for key, weight in {**matrices, **tables}.items():
        scale = weight_scale(weight)
        rounded = torch.round(weight.detach() / scale[:, None]).clamp(-WEIGHT_MAX, WEIGHT_MAX)
        out[key] = rounded.to(torch.int8).numpy()
        out[key + "_scale"] = scale.numpy()
    return out


def to_encoder(config: EncoderConfig, weights: Mapping[str, npt.NDArray[Any]]) -> Encoder:
    """Return the live fp32 encoder of stored tensors, with `QuantLinear`s where they were.

    Args:
        config: Shapes of the weights.
        weights: The tensors.
    """
    encoder = Encoder(config)
    ranges = {name.removesuffix(".act_scale"): (0.0, 1.0) for name in weights if name.endswith(".act_scale")}
    quantize_linears(encoder, ranges)
    state = {}
    for name, values in weights.items():
        if name.endswith("weight_scale"):
            continue
        scale = weights.get(name + "_scale")
        live = values if values.dtype == np.int32 else values.astype(np.float32)
        state[name] = torch.from_numpy(live if scale is None else live * scale[:, None])
    encoder.load_state_dict(state)
    return encoder.eval()
