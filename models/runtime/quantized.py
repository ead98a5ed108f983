"""Linear layers with int8 weights per output channel and static 8-bit activations, simulated in floating point.

The same class serves quantization-aware training (straight-through gradients, Jacob et al. 2018) and the torch engine,
and the OpenVINO graph is built from the same numbers, so that both engines compute the same function.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.runtime.config import ACT_MAX, WEIGHT_MAX
from models.runtime.encoder import Encoder


def weight_scale(weight: Tensor) -> Tensor:
    """Return the scale of symmetric int8 quantization for each row of a matrix, float32, shape (out,).

    Args:
        weight: Weight of a linear layer or an embedding table, float, shape (out, in); each row is one output channel.
    """
    return weight.detach().abs().amax(dim=1).clamp(min=1e-8).float() / WEIGHT_MAX


class QuantLinear(nn.Module):
    """`nn.Linear` whose weight is rounded to int8 per output channel and whose input to 8 bits per tensor.

    Args:
        linear: Layer to quantize; its weight and bias are copied.
        act_low: Lowest input that is represented; smaller ones are clipped. The range is widened to contain 0.
        act_high: Highest input that is represented; greater ones are clipped.

    Attributes:
        act_scale: Step between two levels of the input, float32, a scalar.
        act_zero: Level that stands for 0, int32, a scalar.
        round_input: Whether the input is rounded; without it only the weight is.
    """

    act_scale: Tensor
    act_zero: Tensor

    def __init__(self, linear: nn.Linear, act_low: float, act_high: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().clone())
        self.bias = nn.Parameter(linear.bias.detach().clone())
        low, high = min(act_low, 0.0), max(act_high, 0.0)
        scale = max(high - low, 1e-6) / ACT_MAX
        self.register_buffer("act_scale", torch.tensor(scale))
        self.register_buffer("act_zero", torch.tensor(round(-low / scale), dtype=torch.int32))
        self.round_input = True

    def forward(self, x: Tensor) -> Tensor:
        """Compute the layer with rounded values, in floating point; gradients pass the rounding straight through.

        Args:
            x: Input, float, shape (..., in).

        Returns:
            Output, float, shape (..., out).
        """
        if self.round_input:
            x = torch.fake_quantize_per_tensor_affine(x.float(), self.act_scale, self.act_zero, 0, ACT_MAX)
        scale = weight_scale(self.weight)
        zeros = torch.zeros(len(scale), dtype=torch.int32, device=scale.device)
        weight = torch.fake_quantize_per_channel_affine(self.weight, scale, zeros, 0, -WEIGHT_MAX, WEIGHT_MAX)
        return F.linear(x, weight, self.bias)


def layer_linears(encoder: Encoder) -> Iterator[tuple[str, nn.Module, str]]:
    """Iterate over the four linear layers of every encoder layer, quantized or not.

    Args:
        encoder: Encoder whose layers are visited, from the embeddings up.

    Yields:
        Full name in the state dict (say `layers.0.qkv`), the module that holds the linear layer, and its attribute there.
    """
    for i, layer in enumerate(encoder.layers):
        for name in ("qkv", "out", "up", "down"):
            yield f"layers.{i}.{name}", layer, name


def quantize_linears(encoder: Encoder, ranges: dict[str, tuple[float, float]]) -> None:
    """Replace linear layers by `QuantLinear`s, in place.

    Args:
        encoder: Encoder that is changed.
        ranges: Full name, as `layer_linears` has it, -> lowest and highest input; layers that are not named stay as they are.
    """
    for full, parent, name in list(layer_linears(encoder)):
        if full in ranges:
            setattr(parent, name, QuantLinear(getattr(parent, name), *ranges[full]))
