"""Static int8: the ranges of the activations from real texts, and what rounding costs in each layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.factory.examples import Examples, gather
from models.runtime.encoder import Encoder
from models.runtime.quantized import QuantLinear, layer_linears, quantize_linears

Ranges = dict[str, tuple[float, float]]


def _watch(encoder: Encoder, examples: Examples, docs: npt.NDArray[np.int64]) -> dict[str, list[Tensor]]:
    """A sample of the inputs of every linear layer, padding left out."""
    seen: dict[str, list[Tensor]] = {}
    mask: Tensor | None = None

    def hook(name: str) -> object:
        def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0][mask].flatten()
            seen.setdefault(name, []).append(values[torch.randint(len(values), (20_000,))])

        return keep

    handles = [getattr(p, a).register_forward_pre_hook(hook(full)) for full, p, a in layer_linears(encoder)]
    try:
        torch.manual_seed(0)
        with torch.inference_mode():
            for start in range(0, len(docs), 32):
                batch = gather(examples, docs[start : start + 32])
                mask = batch.mask
                encoder(batch.ids, batch.cases, batch.mask)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def calibrate(encoder: Encoder, examples: Examples, docs: npt.NDArray[np.int64], percentile: float) -> Ranges:
    """Input range of every linear layer, chosen to minimise the squared rounding error on the texts `docs`.

    Candidates are the range that holds `percentile` per cent of the values, and shrunk and widened ones.
    """
    ranges: Ranges = {}
    for name, parts in _watch(encoder, examples, docs).items():
        values = torch.cat(parts)
        tail = (100 - percentile) / 2
        low, high = np.percentile(values.numpy(), [tail, 100 - tail])
        best = (float("inf"), (float(low), float(high)))
        for factor in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4):
            a, b = min(low * factor, 0.0), max(high * factor, 0.0)
            step = max(b - a, 1e-6) / 255
            zero = round(-a / step)
            rounded = (torch.round(values / step + zero).clamp(0, 255) - zero) * step
            best = min(best, (float(torch.mean((values - rounded) ** 2)), (float(a), float(b))))
        ranges[name] = best[1]
    return ranges


def quantize(encoder: Encoder, ranges: Ranges) -> Encoder:
    """Put `QuantLinear`s in place of the linear layers of `encoder`, which is changed and returned."""
    quantize_linears(encoder, ranges)
    return encoder


def error_report(encoder: Encoder, examples: Examples, docs: Sequence[int]) -> list[dict[str, float | str]]:
    """Relative error of every quantized layer's output on the inputs it sees: ||q(x) - f(x)|| / ||f(x)||."""
    rows: list[dict[str, float | str]] = []
    sums: dict[str, tuple[float, float]] = {}

    def hook(name: str) -> object:
        def compare(layer: QuantLinear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            exact = nn.functional.linear(inputs[0], layer.weight, layer.bias)
            error, norm = sums.get(name, (0.0, 0.0))
            sums[name] = (error + float(((output - exact) ** 2).sum()), norm + float((exact**2).sum()))

        return compare

    layers = [(full, getattr(parent, name)) for full, parent, name in layer_linears(encoder)]
    handles = [layer.register_forward_hook(hook(full)) for full, layer in layers]
    try:
        with torch.inference_mode():
            batch = gather(examples, np.asarray(docs, dtype=np.int64))
            encoder(batch.ids, batch.cases, batch.mask)
    finally:
        for handle in handles:
            handle.remove()
    for full, layer in layers:
        error, norm = sums[full]
        low = -float(layer.act_zero) * float(layer.act_scale)
        rows.append(
            {
                "layer": full,
                "relative_error": (error / norm) ** 0.5,
                "low": low,
                "high": low + 255 * float(layer.act_scale),
            }
        )
    return rows
