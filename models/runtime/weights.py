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
    """Convert an encoder to the tensors that a model folder stores.

    The weights of `QuantLinear`s and the embeddings of words and pairs become int8 with a float32 scale for each row (named
    `..._scale`); other matrices of more than 65,536 values become float16. All else (norms, biases, ranges of activations, small
    matrices) keeps its type: it is small, and rounding it would cost accuracy for nothing.

    Args:
        encoder: Encoder on the CPU.

    Returns:
        The tensors by their names in the encoder's state dict, and the scales.
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
    """Return the encoder of stored tensors in fp32, on the CPU and in evaluation mode, with `QuantLinear`s where they were.

    Args:
        config: Shapes of the weights.
        weights: Tensors from `to_weights`, by name.
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
