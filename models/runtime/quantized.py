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
    """Return the symmetric scale of each output channel, float32, shape (out,).

    Args:
        weight: Of a linear layer, shape (out, in).
    """
    return weight.detach().abs().amax(dim=1).clamp(min=1e-8).float() / WEIGHT_MAX


class QuantLinear(nn.Module):
    """`nn.Linear` whose weight is rounded to int8 and whose input is rounded to 8 bits.

    Args:
        linear: The layer; its weights are copied.
        act_low: Lowest input; the range is widened to hold 0 exactly.
        act_high: Highest input.
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
        """Compute the layer.

        Args:
            x: Input, shape (..., in).

        Returns:
            Output, shape (..., out).
        """
        if self.round_input:
            x = torch.fake_quantize_per_tensor_affine(x.float(), self.act_scale, self.act_zero, 0, ACT_MAX)
        scale = weight_scale(self.weight)
        zeros = torch.zeros(len(scale), dtype=torch.int32, device=scale.device)
        weight = torch.fake_quantize_per_channel_affine(self.weight, scale, zeros, 0, -WEIGHT_MAX, WEIGHT_MAX)
        return F.linear(x, weight, self.bias)


def layer_linears(encoder: Encoder) -> Iterator[tuple[str, nn.Module, str]]:
    """Go through the four linear layers of every encoder layer, quantized or not.

    Args:
        encoder: The encoder.

    Yields:
        Full name, parent module, attribute.
    """
    for i, layer in enumerate(encoder.layers):
        for name in ("qkv", "out", "up", "down"):
            yield f"layers.{i}.{name}", layer, name


def quantize_linears(encoder: Encoder, ranges: dict[str, tuple[float, float]]) -> None:
    """Replace linear layers by `QuantLinear`s, in place.

    Args:
        encoder: The encoder.
        ranges: Full name of each layer -> lowest and highest input.
    """
    for full, parent, name in list(layer_linears(encoder)):
        if full in ranges:
            setattr(parent, name, QuantLinear(getattr(parent, name), *ranges[full]))
