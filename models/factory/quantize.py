"""Static int8 quantization: finds the ranges of activations on real texts, and measures what rounding costs in each layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.factory.examples import Examples, gather
from models.runtime.config import ACT_MAX
from models.runtime.encoder import Encoder
from models.runtime.quantized import QuantLinear, layer_linears

Ranges = dict[str, tuple[float, float]]
SHRINK = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
ROWS_A_BATCH = 256


def _watch(encoder: Encoder, examples: Examples, docs: npt.NDArray[np.int64]) -> dict[str, Tensor]:
    """A sample of the inputs of every linear layer [rows, in], a token a row, padding left out."""
    seen: dict[str, list[Tensor]] = {}
    mask: Tensor | None = None

    def hook(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def keep(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows = inputs[0][mask]
            seen.setdefault(name, []).append(rows[torch.randint(len(rows), (ROWS_A_BATCH,))])

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
    return {name: torch.cat(rows) for name, rows in seen.items()}


def calibrate(encoder: Encoder, examples: Examples, docs: npt.NDArray[np.int64]) -> Ranges:
    """Choose the input range of every linear layer that minimises the squared relative error of its output on real texts.

    Candidates are the whole range of the values, shrunk by fixed factors. It is the output's error that counts, not the input's:
    a few tokens carry values many times larger than all others, and clipping those is what hurts. The error is relative to each
    token's output, so that those few do not outweigh all others.

    Args:
        encoder: Float encoder.
        examples: Texts that calibration may read.
        docs: Numbers of the texts that are read, int64, shape (n,).

    Returns:
        Full name of the layer -> lowest and highest input value; the range always holds 0.
    """
    ranges: Ranges = {}
    seen = _watch(encoder, examples, docs)
    for name, parent, attribute in layer_linears(encoder):
        values, weight = seen[name], getattr(parent, attribute).weight.detach()
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        best = (float("inf"), (low, high))
        for factor in SHRINK:
            a, b = low * factor, high * factor
            step = max(b - a, 1e-6) / ACT_MAX
            zero = round(-a / step)
            rounded = (torch.round(values / step + zero).clamp(0, ACT_MAX) - zero) * step
            error = torch.linalg.norm(nn.functional.linear(values - rounded, weight), dim=1)
            size = torch.linalg.norm(nn.functional.linear(values, weight), dim=1)
            # Relative for every token, so that the few large ones do not count for all.
            best = min(best, (float(torch.mean((error / size.clamp(min=1e-6)) ** 2)), (a, b)))
        ranges[name] = best[1]
    return ranges


def error_report(encoder: Encoder, examples: Examples, docs: Sequence[int]) -> list[dict[str, float | str]]:
    """Measure every quantized layer's relative output error on the inputs it sees: ||q(x) - f(x)|| / ||f(x)||.

    Args:
        encoder: Encoder whose linear layers are all quantized.
        examples: Texts to measure on.
        docs: Numbers of the texts that are read, in one batch.

    Returns:
        A row for each layer: its full name as `layer`, `relative_error`, and its input range from `low` to `high`.
    """
    rows: list[dict[str, float | str]] = []
    sums: dict[str, tuple[float, float]] = {}

    def hook(name: str) -> Callable[[QuantLinear, tuple[Tensor, ...], Tensor], None]:
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
